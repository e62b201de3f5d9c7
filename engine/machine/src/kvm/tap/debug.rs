//! What KVM is told by `KVM_SET_GUEST_DEBUG` (KVM API, 4.87), and the steps and hardware points
//! that come of it.
//!
//! KVM remembers where the vCPU stood when it was told to step, and drops the trap flag when the
//! registers are set to be elsewhere. So registers go first, by an ioctl, and then it is told.
//!
//! One #DB can have several causes, which are told one by one: an access of the instruction that
//! has run, that it was stepped, and the point at which the vCPU stands now.

use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP,
    KVM_GUESTDBG_USE_SW_BP, kvm_guest_debug, kvm_guest_debug_arch,
};
use kvm_ioctls::VcpuFd;
use oriel_protocol::{EventKind, HardwarePoint};

use super::{Seen, Tap};
use crate::{
    MachineError,
    kvm::{
        causes::Causes,
        debug_registers::DebugRegisters,
        exit::{DebugExit, RawExit},
        pending::Pending,
    },
};

/// How a vCPU is debugged.
#[derive(Default)]
pub(super) struct Debug {
    /// What KVM was told.
    told: Told,
    /// Of which generation that is all there is to tell, wherever the vCPU stands.
    settled: Option<u64>,
    /// A stepped instruction has run, and nobody has been told yet.
    pub(super) stepped: bool,
    /// Hardware points that were met, and nobody has been told yet.
    met: Vec<HardwarePoint>,
}

/// What KVM is told.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    flags: u32,
    registers: DebugRegisters,
}

impl Debug {
    /// Whether the last entry was a step.
    pub(super) const fn steps(&self) -> bool {
        self.told.flags & KVM_GUESTDBG_SINGLESTEP != 0
    }

    /// Whether the vCPU is stepped, or something has not been told.
    pub(super) const fn is_busy(&self) -> bool {
        self.steps() || self.stepped || !self.met.is_empty()
    }

    /// Forgets what has not been told.
    pub(super) fn forget(&mut self) {
        self.stepped = false;
        self.met.clear();
    }

    /// Takes the next point of those that are met before their instruction, or behind it.
    fn take(&mut self, executes: bool) -> Option<HardwarePoint> {
        let mut met = self.met.iter();
        let at = met.position(|point| point.executes() == executes)?;
        Some(self.met.remove(at))
    }
}

impl Tap {
    /// #DB. With a step or a point in force all of them come here, the guest's own too.
    #[inline(never)]
    pub(super) fn debugged(
        &mut self,
        vcpu: &mut VcpuFd,
        exit: DebugExit,
    ) -> Result<Seen, MachineError> {
        if self.debug.told.flags & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP) == 0 {
            return Ok(Seen::NotOurs(RawExit::Debug(exit)));
        }
        let causes = Causes::of(exit, &self.debug.told.registers, self.debug.steps());
        (self.debug.stepped, self.debug.met) = (causes.stepped, causes.met);
        if let Some(own) = causes.own {
            self.give_back(vcpu, own)?;
        }
        self.pass_unheard();
        Ok(Seen::Handled)
    }

    /// Where nobody listens, a point is gone over in silence.
    fn pass_unheard(&mut self) {
        if self.armed.wants.kind(EventKind::Breakpoint) {
            return;
        }
        let reached = self
            .debug
            .take(true)
            .and_then(|point| self.stands_at(point));
        reached
            .into_iter()
            .for_each(|reached| self.go_over(reached));
        self.debug.met.clear();
    }

    /// What comes next of that which the last instruction has met: its accesses, that it was
    /// stepped, and the point that it has led to.
    pub(super) fn tell_debugged(&mut self) {
        if !self.debug.stepped && self.debug.met.is_empty() {
            return;
        }
        self.refresh();
        let armed = self.armed.clone();
        self.debug
            .met
            .retain(|point| armed.hardware.contains(point));
        if let Some(point) = self.debug.take(false) {
            self.own = Some(Box::new(Pending::Watched(self.watched(point))));
        } else if std::mem::take(&mut self.debug.stepped) && armed.steps(self.index) {
            self.own = Some(Box::new(Pending::Step));
        } else if let Some(point) = self.debug.take(true) {
            // An exception goes first; behind its handler the point is met again.
            let raises = self.staged.is_some() || self.page.events().exception.injected != 0;
            let reached = self.stands_at(point).filter(|_| !raises);
            self.own = reached.map(|here| Box::new(Pending::Breakpoint(here)));
        }
    }

    /// Whether KVM knows how to run the vCPU.
    #[inline]
    pub(super) fn debug_is_told(&self) -> bool {
        self.over.is_none() && self.debug.settled == Some(self.generation)
    }

    /// Tells KVM how to run the vCPU, where that has changed.
    #[inline(never)]
    pub(super) fn tell_debug(&mut self, vcpu: &VcpuFd) -> Result<(), MachineError> {
        let wanted = self.wanted_debug();
        let steps = wanted.flags & KVM_GUESTDBG_SINGLESTEP != 0;
        let mut again = wanted != self.debug.told;
        if steps && self.page.take_dirty_regs() {
            vcpu.set_regs(&self.page.regs())
                .map_err(|errno| self.error("setting registers", errno))?;
            again = true;
        }
        if again {
            let debug = kvm_guest_debug {
                control: wanted.flags,
                arch: kvm_guest_debug_arch {
                    debugreg: wanted.registers.values(),
                },
                ..Default::default()
            };
            vcpu.set_guest_debug(&debug)
                .map_err(|errno| self.error("KVM_SET_GUEST_DEBUG", errno))?;
            self.debug.told = wanted;
        }
        let lasts = self.over.is_none() && !self.armed.steps(self.index);
        self.debug.settled = lasts.then_some(self.generation);
        Ok(())
    }

    fn wanted_debug(&self) -> Told {
        let over = self.over.as_ref().and_then(|over| over.point);
        let here = |point: &HardwarePoint| point.executes() && over == Some(point.gva());
        let points = self.armed.hardware.iter().filter(|point| !here(point));
        let registers = DebugRegisters::of(points.copied());
        Told {
            flags: self.debug_flags(&registers),
            registers,
        }
    }

    fn debug_flags(&self, registers: &DebugRegisters) -> u32 {
        let mut flags = 0;
        if self.armed.breaks() {
            flags |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
        }
        if !registers.is_empty() {
            flags |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
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
