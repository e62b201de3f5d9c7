//! The kernel's doubly linked lists. Owns the walk, which ends: at the head, at a place that was
//! seen before, at memory that is not there, or at a limit.

use std::collections::HashSet;

use oriel_protocol::Gva;
pub use oriel_protocol::linux::Ending;

use crate::space::Space;

/// More than any list that is walked here has: kernels allow four million tasks, and no guest's
/// memory is spent so.
pub(crate) const MOST: usize = 1 << 17;
/// What a kernel puts into an entry that it has taken out (Linux, `include/linux/poison.h`).
const POISON: Gva = 0xdead_0000_0000_0000;

/// Where the walk is.
#[derive(Debug)]
pub(crate) struct List<'m> {
    space: Space<'m>,
    head: Gva,
    at: Gva,
    seen: HashSet<Gva>,
    most: usize,
    ending: Option<Ending>,
}

impl<'m> List<'m> {
    /// The list with this head.
    pub(crate) fn new(space: Space<'m>, head: Gva) -> Self {
        Self {
            space,
            head,
            at: head,
            seen: HashSet::new(),
            most: MOST,
            ending: None,
        }
    }

    /// The same, with a lower limit.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// How it ended, once it has.
    pub(crate) fn ending(&self) -> Ending {
        self.ending.unwrap_or(Ending::Endless)
    }

    fn step(&mut self) -> Result<Gva, Ending> {
        let next = self.space.u64(self.at).map_err(|_| Ending::Broken)?;
        if next == self.head {
            return Err(Ending::Whole);
        }
        if next == 0 || next >> 48 == POISON >> 48 {
            return Err(Ending::Broken);
        }
        if self.seen.len() >= self.most {
            return Err(Ending::Endless);
        }
        if !self.seen.insert(next) {
            return Err(Ending::Loop);
        }
        Ok(next)
    }
}

impl Iterator for List<'_> {
    type Item = Gva;

    fn next(&mut self) -> Option<Gva> {
        if self.ending.is_some() {
            return None;
        }
        match self.step() {
            Ok(next) => {
                self.at = next;
                Some(next)
            }
            Err(ending) => {
                self.ending = Some(ending);
                None
            }
        }
    }
}
