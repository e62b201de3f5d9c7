//! The way into the guest: what comes before `KVM_RUN`, and what is noted when it has returned.
//!
//! From [`Tap::go_in`] on the vCPU counts as being in the guest, with what was armed then; whoever
//! arms something else waits until it has come out. Never looks at the exit.

use std::thread::{self, ThreadId};

use kvm_ioctls::VcpuFd;
use rustix::io::Errno;

use super::{Instruction, Tap};
#[cfg(test)]
use crate::kvm::entry::Entry;
use crate::{
    MachineError,
    kvm::{
        entry::{Ran, ran},
        sys::page::Pieces,
    },
};

thread_local! {
    /// Asking for the thread itself takes a reference each time.
    static HERE: ThreadId = thread::current().id();
}

impl Tap {
    /// Notes that the calling thread enters the vCPU from now on.
    pub(in crate::kvm) fn attach(&mut self) -> Result<(), MachineError> {
        let here = Some(HERE.with(|here| *here));
        if self.runner != here {
            let attached = self.kick.attach();
            attached.map_err(|source| self.error("unblocking the kick signal", source))?;
            self.runner = here;
        }
        Ok(())
    }

    /// Does what comes before `KVM_RUN`; false if there is something to decode first. After a yes
    /// whoever runs the vCPU sees to what it [`needs_hold`](Self::needs_hold) of, and then it
    /// [goes in](Self::go_in).
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn before_run(&mut self, vcpu: &mut VcpuFd) -> Result<bool, MachineError> {
        // Nearly always there is nothing, and code that is not in the caches is dear at an exit.
        if self.has_more_to_do() {
            return self.clear_the_way(vcpu);
        }
        Ok(true)
    }

    /// Whether there is anything that comes before the guest, or may be.
    #[inline]
    fn has_more_to_do(&self) -> bool {
        let waits = self.unread || self.untold || self.halts || self.debug.is_busy();
        let open = self.trouble.is_some() || self.staged.is_some() || self.own.is_some();
        let judged = self.judged.is_some() || !self.so_far.is_empty();
        let lifted = self.over.is_some() || self.passed.is_some();
        let stale = self.arming.generation() != self.generation;
        waits
            || open
            || judged
            || lifted
            || stale
            || self.moved_to().is_some()
            || self.armed.steps(self.index)
    }

    /// Does what comes before the guest, in this order; false if there is something to decode.
    #[cold]
    fn clear_the_way(&mut self, vcpu: &mut VcpuFd) -> Result<bool, MachineError> {
        if let Some(source) = self.trouble.take() {
            return Err(self.error("putting a page's protection back", source));
        }
        let open = self.staged.is_some() || self.debug.steps() || self.judged.is_some();
        if open || self.moved_to().is_some() {
            self.finish(vcpu)?;
        }
        self.keep_judged();
        if self.unread {
            return Ok(false);
        }
        self.settle_over();
        self.tell_debugged();
        if self.own.is_none() {
            self.halt_instead(vcpu);
            if self.halts {
                return Ok(false);
            }
            self.tell_debugged();
        }
        if self.own.is_none() {
            if let Some(exception) = self.staged.take() {
                self.raise_staged(vcpu, exception)?;
            }
            self.tell_delivery();
        }
        Ok(self.own.is_none())
    }

    /// Counts as in the guest from now on, with the newest of what is armed, until
    /// [`after_run`](Self::after_run) or [`stay_out`](Self::stay_out). What is to be lifted for the
    /// next instruction is.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn go_in(&mut self, vcpu: &VcpuFd) -> Result<(), MachineError> {
        loop {
            self.refresh();
            if !self.debug_is_told() {
                self.tell_debug(vcpu)?;
            }
            self.arming.seats().go_in(&self.seat, self.generation);
            if self.arming.generation() == self.generation {
                return match self.over.is_some() {
                    true => self.lift(),
                    false => Ok(()),
                };
            }
            self.stay_out();
        }
    }

    /// The vCPU does not go into the guest after all.
    pub fn stay_out(&mut self) {
        if std::mem::take(&mut self.lifted) {
            self.lower();
        }
        self.arming.seats().come_out(&self.seat);
    }

    /// Runs the vCPU until it comes out.
    pub(in crate::kvm) fn run(&mut self, vcpu: &mut VcpuFd) -> Result<(), Errno> {
        let said = self.entry.run(vcpu);
        self.page.came_out();
        said
    }

    /// Answers in the place of `KVM_RUN` from now on.
    #[cfg(test)]
    pub(in crate::kvm) fn enter_by(&mut self, entry: impl Entry + 'static) {
        self.entry = Box::new(entry);
    }

    /// Notes what `KVM_RUN` has said.
    ///
    /// # Errors
    /// Gives back what nothing can be made of.
    pub(in crate::kvm) fn ran(&mut self, said: Result<(), Errno>) -> Result<Ran, Errno> {
        let ran = ran(said);
        match ran {
            Ok(Ran::Exit) => self.after_run(false),
            Ok(Ran::Fault) => self.after_fault(),
            Ok(Ran::Interrupted) | Err(_) => {
                self.after_run(true);
                self.kick.release_entry();
            }
        }
        ran
    }

    /// Notes that `KVM_RUN` has returned: with an exit to decode, or interrupted.
    pub fn after_run(&mut self, interrupted: bool) {
        self.page.came_out();
        self.stay_out();
        self.unread = !interrupted;
        if interrupted {
            self.instruction = Instruction::Done;
        } else {
            self.passed = self.over.take();
        }
    }

    /// Notes that `KVM_RUN` has failed with EFAULT: there is something to decode, though no exit.
    pub fn after_fault(&mut self) {
        self.after_run(false);
        self.faulted = true;
    }

    /// Takes what has been armed since the last exit.
    pub(super) fn refresh(&mut self) {
        let generation = self.arming.generation();
        if self.generation != generation {
            self.generation = generation;
            self.armed = self.arming.current();
            self.page.ask_for(self.looked_at());
            self.msrs.forget();
        }
    }

    /// What of the vCPU's state is looked at behind each exit. Where nothing is armed that is
    /// nothing, and what a judge asks for all the same is fetched for it.
    pub(super) fn looked_at(&self) -> Pieces {
        let traps = self.arming.traps().is_some_and(|traps| !traps.is_empty());
        if traps || self.armed.stops() {
            Pieces::ALL
        } else if self.armed.is_empty() {
            Pieces::NONE
        } else {
            Pieces::STANDS
        }
    }
}
