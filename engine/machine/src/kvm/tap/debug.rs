//! What KVM is told by `KVM_SET_GUEST_DEBUG` (KVM API, 4.87), and the steps that come of it.
//!
//! KVM remembers where the vCPU stood when it was told to step, and drops the trap flag when the
//! registers are set to be elsewhere. So registers go first, by an ioctl, and then it is told.

use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_SW_BP,
    kvm_guest_debug,
};
use kvm_ioctls::VcpuFd;

use super::Tap;
use crate::{MachineError, kvm::pending::Pending};

/// How a vCPU is debugged.
#[derive(Default)]
pub(super) struct Debug {
    /// The flags that KVM has.
    told: u32,
    /// A stepped instruction has run, and nobody has been told yet.
    pub(super) stepped: bool,
}

impl Debug {
    /// Whether the last entry was a step.
    pub(super) const fn steps(&self) -> bool {
        self.told & KVM_GUESTDBG_SINGLESTEP != 0
    }
}

impl Tap {
    /// If a stepped instruction has run, and somebody wants to hear of it, that comes next.
    pub(super) fn tell_step(&mut self) {
        if !std::mem::take(&mut self.debug.stepped) {
            return;
        }
        self.refresh();
        if self.armed.steps(self.index) {
            self.own = Some(Pending::Step);
        }
    }

    /// Tells KVM how to run the vCPU, where that has changed.
    pub(super) fn tell_debug(&mut self, vcpu: &VcpuFd) -> Result<(), MachineError> {
        let wanted = self.debug_flags();
        let steps = wanted & KVM_GUESTDBG_SINGLESTEP != 0;
        let mut again = wanted != self.debug.told;
        if steps && self.page.take_dirty_regs() {
            vcpu.set_regs(&self.page.regs())
                .map_err(|errno| self.error("setting registers", errno))?;
            again = true;
        }
        if again {
            let debug = kvm_guest_debug {
                control: wanted,
                ..Default::default()
            };
            vcpu.set_guest_debug(&debug)
                .map_err(|errno| self.error("KVM_SET_GUEST_DEBUG", errno))?;
            self.debug.told = wanted;
        }
        Ok(())
    }

    fn debug_flags(&self) -> u32 {
        let mut flags = 0;
        if self.armed.breaks() {
            flags |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
        }
        let steps = self.armed.steps(self.index) || self.over.is_some();
        // Where KVM would not stop the vCPU, the trap flag would come up in the guest.
        if steps && self.can_step() {
            flags |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
            if self.habits.holds_interrupts {
                flags |= KVM_GUESTDBG_BLOCKIRQ;
            }
        }
        flags
    }
}
