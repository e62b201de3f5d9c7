//! The holdings of one judge while a command changes them, with a trail of what it changes: so the
//! union of all is brought up to date by the difference.

use std::{collections::BTreeSet, ops::Deref};

use oriel_protocol::{Filter, Gpa, Refusal, commands::vm::PageRule, page};

use crate::holdings::{Holdings, Placed, Switches};

/// The holdings of one judge while they are changed.
#[derive(Debug)]
pub struct Draft {
    mine: Holdings,
    trail: Trail,
}

/// What has been changed of the holdings of a judge.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    /// INT3s that were placed, or cleared, in order.
    pub(super) int3s: Vec<(Gpa, bool)>,
    /// Page frames of which something was said.
    pub(super) frames: BTreeSet<u64>,
    /// Something else, that there is little of.
    pub(super) rest: bool,
    /// All of it.
    pub(super) all: bool,
}

impl Draft {
    pub(super) fn of(holdings: &Holdings) -> Self {
        Self {
            mine: holdings.clone(),
            trail: Trail::default(),
        }
    }

    pub(super) fn done(self) -> (Holdings, Trail) {
        (self.mine, self.trail)
    }

    /// Holds this from now on, and nothing else.
    pub fn replace(&mut self, holdings: Holdings) {
        (self.mine, self.trail.all) = (holdings, true);
    }

    /// [`Holdings::declare`].
    pub(super) fn declare(&mut self, declared: &Holdings) {
        self.trail.rest = true;
        self.mine.declare(declared);
    }

    /// [`Holdings::switches`].
    pub fn switches(&mut self) -> Option<&mut Switches> {
        self.trail.rest = true;
        self.mine.switches()
    }

    /// [`Holdings::switch`].
    ///
    /// # Errors
    /// As there.
    pub fn switch(&mut self, vcpu: Option<u32>, filter: Filter, on: bool) -> Result<(), Refusal> {
        self.trail.rest = true;
        self.mine.switch(vcpu, filter, on)
    }

    /// [`Holdings::step`].
    pub fn step(&mut self, vcpu: u32, on: bool) {
        self.trail.rest = true;
        self.mine.step(vcpu, on);
    }

    /// [`Holdings::set_page`].
    ///
    /// # Errors
    /// As there.
    pub fn set_page(&mut self, rule: PageRule) -> Result<(), Refusal> {
        self.trail.frames.insert(page::frame(rule.gpa));
        self.mine.set_page(rule)
    }

    /// [`Holdings::set_breakpoint`].
    ///
    /// # Errors
    /// As there.
    pub fn set_breakpoint(&mut self, tag: u64, placed: Placed) -> Result<(), Refusal> {
        if self.mine.set_breakpoint(tag, placed)? {
            self.note(placed, true);
        }
        Ok(())
    }

    /// [`Holdings::clear_breakpoint`].
    pub fn clear_breakpoint(&mut self, tag: u64) -> Option<Placed> {
        let placed = self.mine.clear_breakpoint(tag)?;
        self.note(placed, false);
        Some(placed)
    }

    fn note(&mut self, placed: Placed, there: bool) {
        match placed {
            Placed::Int3(gpa) => self.trail.int3s.push((gpa, there)),
            Placed::Hardware(_) => self.trail.rest = true,
        }
    }
}

/// To be read; what changes goes by the methods above.
impl Deref for Draft {
    type Target = Holdings;

    fn deref(&self) -> &Holdings {
        &self.mine
    }
}
