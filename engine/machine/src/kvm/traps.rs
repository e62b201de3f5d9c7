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
        let gone = before.keys().filter(|frame| !wanted.contains_key(frame));
        let opened = gone.map(|frame| (*frame, Protection::Open));
        let changed = wanted
            .iter()
            .filter(|(frame, access)| before.get(frame) != Some(access));
        let closed = changed.map(|(frame, access)| (*frame, Protection::for_all_but(*access)));
        let mut all: Vec<_> = opened.chain(closed).collect();
        all.sort_unstable_by_key(|(frame, _)| *frame);
        self.protect(&all)
    }

    /// The same for these frames alone; at one that nothing is said of, nothing is trapped.
    ///
    /// # Errors
    /// What the host says; then these frames are trapped as before.
    pub(super) fn change(&self, wanted: &BTreeMap<u64, Option<Access>>) -> io::Result<()> {
        let mut allowed = self.write();
        let was = |frame: &u64| (*frame, allowed.get(frame).copied());
        let before: BTreeMap<_, _> = wanted.keys().map(was).collect();
        let done = self.turn(&mut allowed, &before, wanted);
        if done.is_err() {
            // It was possible before.
            let _ = self.turn(&mut allowed, wanted, &before);
        }
        done
    }

    fn turn(
        &self,
        allowed: &mut BTreeMap<u64, Access>,
        from: &BTreeMap<u64, Option<Access>>,
        to: &BTreeMap<u64, Option<Access>>,
    ) -> io::Result<()> {
        for (frame, access) in to {
            match access {
                Some(access) => allowed.insert(*frame, *access),
                None => allowed.remove(frame),
            };
        }
        let protection =
            |access: &Option<Access>| access.map_or(Protection::Open, Protection::for_all_but);
        let changed = to
            .iter()
            .filter(|(frame, access)| from.get(frame) != Some(access));
        let changed: Vec<_> = changed
            .map(|(frame, access)| (*frame, protection(access)))
            .collect();
        self.protect(&changed)
    }

    /// Protects these frames, which are given lowest first.
    fn protect(&self, all: &[(u64, Protection)]) -> io::Result<()> {
        runs(all).try_for_each(|(frame, pages, protection)| {
            self.shield
                .protect(frame * PAGE_SIZE, pages * PAGE_SIZE, protection)
        })
    }

    /// What goes through at each trapped frame.
    pub(super) fn table(&self) -> BTreeMap<u64, Access> {
        self.read().clone()
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
mod tests;
