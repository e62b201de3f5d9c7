//! Arming by the difference: a breakpoint or a page more or less, of however many.
//!
//! What vCPUs are told, and how they are run, stays as it is; so nobody is waited for, and nothing
//! here grows with what is armed already. Anything else takes the long way.

use std::sync::{PoisonError, atomic::Ordering::SeqCst};

use kvm_ioctls::VmFd;
use oriel_protocol::EventKind;

use super::{Armed, Arming, check::check_int3s, no_ram, page_traps};
use crate::{ArmError, Changed, Wants};

impl Arming {
    /// [`arm`](Self::arm), where the wants differ from the last ones by no more than this.
    ///
    /// # Errors
    /// As [`crate::Machine::arm`].
    pub fn arm_changed(&self, vm: &VmFd, wants: &Wants, changed: &Changed) -> Result<(), ArmError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_more_of_the_same(&current, wants, changed) {
            drop(current);
            return self.arm(vm, wants);
        }
        check_int3s(wants, self.habits)?;
        self.check_frames(changed.frames.iter().copied(), wants)?;
        self.move_breakpoints(wants, changed)?;
        let trapped = self.move_traps(wants, changed);
        if trapped.is_err() {
            self.take_back(wants, changed);
        }
        self.generation.fetch_add(1, SeqCst);
        trapped
    }

    fn move_breakpoints(&self, wants: &Wants, changed: &Changed) -> Result<(), ArmError> {
        let Some(memory) = &self.memory else {
            return self.check_memory(wants);
        };
        let wanted = |gpa: &u64| wants.breakpoints.contains(gpa);
        let moved = memory.change(&changed.breakpoints, wanted);
        moved.map_err(no_ram)
    }

    fn move_traps(&self, wants: &Wants, changed: &Changed) -> Result<(), ArmError> {
        let allowed = |frame: u64| (frame, wants.pages.get(&frame).copied());
        let frames = changed.frames.iter().copied().map(allowed).collect();
        let moved = self.traps.as_ref().map(|traps| traps.change(&frames));
        moved.unwrap_or(Ok(())).map_err(page_traps)
    }

    /// The breakpoints are where they were; the traps have put themselves back.
    fn take_back(&self, wants: &Wants, changed: &Changed) {
        if let Some(memory) = &self.memory {
            let before = |gpa: &u64| !wants.breakpoints.contains(gpa);
            // They were possible then.
            let _ = memory.change(&changed.breakpoints, before);
        }
    }
}

/// Whether vCPUs are run as before, and this machine is known to be able to do it.
fn is_more_of_the_same(current: &Armed, wants: &Wants, changed: &Changed) -> bool {
    let breaks = wants.kind(EventKind::Breakpoint) || !wants.breakpoints.is_empty();
    let breakpoints = changed.breakpoints.is_empty() || (breaks && current.breaks());
    let pages = changed.frames.is_empty() || current.wants.kind(EventKind::Page);
    breakpoints && pages
}
