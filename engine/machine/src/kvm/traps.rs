//! Pages whose access is trapped: KVM's mapping of them is protected, Oriel's is not.
//!
//! A mapping can forbid writing, or everything; so a page of which only reading or executing is
//! trapped is closed altogether, and what is allowed of it goes through in silence.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use oriel_protocol::{
    Access, Gpa,
    page::{self, PAGE_SIZE},
};

/// What KVM's mapping of a page lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Everything.
    Open,
    /// Reading and executing.
    NoWrite,
    /// Nothing.
    Closed,
}

impl Protection {
    /// The least that traps all but these kinds of access.
    const fn for_all_but(allowed: Access) -> Self {
        if allowed.contains(Access::ALL) {
            Self::Open
        } else if allowed.contains(Access::READ.union(Access::EXECUTE)) {
            Self::NoWrite
        } else {
            Self::Closed
        }
    }
}

/// Whoever owns the mapping of guest RAM that KVM uses.
pub trait Shield: Send + Sync {
    /// Protects so many bytes of it, from an address at the start of a page on. Takes effect
    /// before it returns, for vCPUs that run too.
    ///
    /// # Errors
    /// What the host says.
    fn protect(&self, gpa: Gpa, length: u64, protection: Protection) -> io::Result<()>;
}

impl<T: Shield + ?Sized> Shield for Box<T> {
    fn protect(&self, gpa: Gpa, length: u64, protection: Protection) -> io::Result<()> {
        (**self).protect(gpa, length, protection)
    }
}

/// The trapped pages of a VM.
pub(super) struct Traps {
    shield: Box<dyn Shield>,
    /// What goes through at each frame.
    allowed: RwLock<BTreeMap<u64, Access>>,
    unjudged: AtomicU64,
}

impl Traps {
    pub(super) fn new(shield: Box<dyn Shield>) -> Self {
        Self {
            shield,
            allowed: RwLock::default(),
            unjudged: AtomicU64::new(0),
        }
    }

    /// Traps what is not allowed at these frames, and nothing elsewhere.
    ///
    /// # Errors
    /// What the host says; then pages may be closed of which nothing is trapped, which slows the
    /// guest and harms nothing.
    pub(super) fn set(&self, wanted: &BTreeMap<u64, Access>) -> io::Result<()> {
        let mut allowed = self.write();
        let before = std::mem::replace(&mut *allowed, wanted.clone());
        let gone = before
            .iter()
            .filter(|(frame, _)| !wanted.contains_key(frame));
        let opened = gone.map(|(frame, _)| (*frame, Protection::Open));
        let changed = wanted
            .iter()
            .filter(|(frame, access)| before.get(frame) != Some(access));
        let closed = changed.map(|(frame, access)| (*frame, Protection::for_all_but(*access)));
        let mut all: Vec<_> = opened.chain(closed).collect();
        all.sort_unstable_by_key(|(frame, _)| *frame);
        runs(&all).try_for_each(|(frame, pages, protection)| {
            self.shield
                .protect(frame * PAGE_SIZE, pages * PAGE_SIZE, protection)
        })
    }

    /// Whether no page is trapped.
    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// What goes through at an address; none if it is on no trapped page.
    pub(super) fn allowed(&self, gpa: Gpa) -> Option<Access> {
        self.read().get(&page::frame(gpa)).copied()
    }

    /// Every trapped frame.
    pub(super) fn frames(&self) -> Vec<u64> {
        self.read().keys().copied().collect()
    }

    /// Opens these frames for an instruction, while the other vCPUs are held.
    pub(super) fn lift(&self, frames: &[u64]) -> io::Result<()> {
        let _table = self.write();
        frames.iter().try_for_each(|frame| {
            self.shield
                .protect(frame * PAGE_SIZE, PAGE_SIZE, Protection::Open)
        })
    }

    /// Closes them again, where they are still trapped.
    pub(super) fn lower(&self, frames: &[u64]) -> io::Result<()> {
        let table = self.write();
        frames.iter().try_for_each(|frame| match table.get(frame) {
            Some(allowed) => {
                let protection = Protection::for_all_but(*allowed);
                self.shield
                    .protect(frame * PAGE_SIZE, PAGE_SIZE, protection)
            }
            None => Ok(()),
        })
    }

    /// An access went through that nobody has judged.
    pub(super) fn count_unjudged(&self) {
        self.unjudged.fetch_add(1, Relaxed);
    }

    /// How many of them.
    pub(super) fn unjudged(&self) -> u64 {
        self.unjudged.load(Relaxed)
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Access>> {
        self.allowed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Access>> {
        self.allowed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Neighbours of the same protection together: first frame, how many, protection.
fn runs(all: &[(u64, Protection)]) -> impl Iterator<Item = (u64, u64, Protection)> {
    all.chunk_by(|one, next| one.0 + 1 == next.0 && one.1 == next.1)
        .filter_map(|run| {
            run.first()
                .map(|(frame, protection)| (*frame, run.len() as u64, *protection))
        })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    type Calls = Arc<Mutex<Vec<(Gpa, u64, Protection)>>>;

    struct Noted(Calls);

    impl Shield for Noted {
        fn protect(&self, gpa: Gpa, length: u64, protection: Protection) -> io::Result<()> {
            self.0.lock().unwrap().push((gpa, length, protection));
            Ok(())
        }
    }

    fn traps() -> (Traps, impl Fn() -> Vec<(Gpa, u64, Protection)>) {
        let calls = Calls::default();
        let noted = calls.clone();
        let taken = move || std::mem::take(&mut *noted.lock().unwrap());
        (Traps::new(Box::new(Noted(calls))), taken)
    }

    const NO_WRITE: Access = Access::READ.union(Access::EXECUTE);

    #[test]
    fn only_what_changes_is_protected_and_neighbours_at_once() {
        let (traps, calls) = traps();
        let three = [(5, NO_WRITE), (6, NO_WRITE), (8, Access::NONE)];
        traps.set(&three.into()).unwrap();
        let (no_write, closed) = (Protection::NoWrite, Protection::Closed);
        assert_eq!(
            calls(),
            [(0x5000, 0x2000, no_write), (0x8000, 0x1000, closed)]
        );
        traps.set(&three.into()).unwrap();
        assert_eq!(calls(), []);
        traps.set(&[(6, NO_WRITE)].into()).unwrap();
        let open = Protection::Open;
        assert_eq!(calls(), [(0x5000, 0x1000, open), (0x8000, 0x1000, open)]);
        assert_eq!(traps.allowed(0x6fff), Some(NO_WRITE));
        assert_eq!(traps.allowed(0x8000), None);
    }

    #[test]
    fn a_page_of_which_reading_or_executing_is_trapped_is_closed() {
        for allowed in [
            Access::READ | Access::WRITE,
            Access::EXECUTE,
            Access::WRITE | Access::EXECUTE,
        ] {
            assert_eq!(Protection::for_all_but(allowed), Protection::Closed);
        }
        assert_eq!(Protection::for_all_but(NO_WRITE), Protection::NoWrite);
        assert_eq!(Protection::for_all_but(Access::ALL), Protection::Open);
    }

    #[test]
    fn a_frame_that_is_disarmed_while_it_is_lifted_stays_open() {
        let (traps, calls) = traps();
        traps.set(&[(5, NO_WRITE), (6, NO_WRITE)].into()).unwrap();
        traps.lift(&[5, 6]).unwrap();
        traps.set(&[(5, NO_WRITE)].into()).unwrap();
        calls();
        traps.lower(&[5, 6]).unwrap();
        assert_eq!(calls(), [(0x5000, 0x1000, Protection::NoWrite)]);
    }
}
