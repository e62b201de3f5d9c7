//! What an exit is, and the event that is made of it.

use kvm_ioctls::VcpuFd;
use oriel_protocol::{Event, EventKind, Verdict};

use super::{Instruction, Seen, Tap};
use crate::{
    MachineError,
    kvm::{
        apply,
        bus::Bus,
        decode::{self, At, Subject},
        exit::RawExit,
        pending::Pending,
    },
};

impl Tap {
    /// What the exit in the page is.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn decode(&mut self, vcpu: &mut VcpuFd, bus: &dyn Bus) -> Result<Seen, MachineError> {
        if let Some(own) = self.own.take() {
            return Ok(Seen::Event(self.raise(*own)));
        }
        if self.take_halt() {
            return Ok(Seen::NotOurs(RawExit::Halt));
        }
        self.unread = false;
        let stale = self.arming.generation() != self.generation;
        self.refresh();
        let exit = match std::mem::take(&mut self.faulted) {
            true => RawExit::Fault,
            false => self.page.exit(),
        };
        self.open(&exit);
        if let RawExit::Memory { gpa, write, size } = exit
            && let Some(seen) = self.fragment(vcpu, bus, (gpa, write, size))?
        {
            return Ok(seen);
        }
        match decode::subject(&exit, &self.armed.wants, self.habits) {
            Subject::Wanted(mut pending) => {
                self.fill_in(vcpu, bus, &mut pending);
                Ok(Seen::Event(self.raise(pending)))
            }
            Subject::Silent(pending) => self.pass_silently(vcpu, bus, pending),
            // What blocked it may be gone.
            Subject::Blocked if stale => Ok(Seen::Handled),
            Subject::Blocked => self.blocked(vcpu, bus, exit),
            Subject::Int3 => self.int3(vcpu, bus),
            Subject::Debugged(debug) => self.debugged(vcpu, debug),
            Subject::NotOurs => {
                // KVM does not step over a halt: it is done, and that is all there is to it.
                self.debug.stepped = exit == RawExit::Halt && self.debug.steps();
                Ok(Seen::NotOurs(exit))
            }
        }
    }

    /// Does what the guest wants, as nobody listens.
    #[inline(never)]
    fn pass_silently(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        mut pending: Pending,
    ) -> Result<Seen, MachineError> {
        self.fill_in(vcpu, bus, &mut pending);
        self.carry_out(vcpu, bus, apply::plan(pending, Verdict::Continue))?;
        Ok(Seen::Handled)
    }

    /// Notes where the vCPU stands at this exit.
    fn open(&mut self, exit: &RawExit) {
        self.instruction = match exit {
            RawExit::Port(_) | RawExit::Memory { .. } | RawExit::Msr(_) => Instruction::Open,
            RawExit::Halt | RawExit::Shutdown | RawExit::Interrupted | RawExit::System(_) => {
                Instruction::Done
            }
            RawExit::Internal(_) | RawExit::FailEntry(_) => Instruction::Done,
            RawExit::Debug(_) | RawExit::Fault | RawExit::Other(_) => Instruction::Done,
        };
        if let Some(destination) = self.destination.take() {
            self.set_ip(destination);
        }
    }

    /// Raises an event that the owner of `KVM_RUN` has seen; none if nobody wants it.
    pub(in crate::kvm) fn raise_if_wanted(
        &mut self,
        kind: EventKind,
        pending: Pending,
    ) -> Option<Event> {
        self.refresh();
        self.armed.wants.kind(kind).then(|| self.raise(pending))
    }

    pub(super) fn raise(&mut self, pending: Pending) -> Event {
        let ip = match self.instruction {
            Instruction::Open => self.page.exited_at(),
            Instruction::Done => self.page.rip(),
        };
        let at = At {
            ip,
            cr3: self.page.cr3(),
            cpl: self.page.cpl(),
        };
        decode::event(self.pending.insert(pending), at)
    }

    /// Adds what an exit does not say: the old value of an MSR, and what a device answers.
    fn fill_in(&mut self, vcpu: &VcpuFd, bus: &dyn Bus, pending: &mut Pending) {
        match pending {
            Pending::MsrWrite { msr, old, .. } => *old = self.old_msr(vcpu, *msr),
            Pending::MsrRead { msr, value } => *value = self.old_msr(vcpu, *msr),
            Pending::Access(access) => {
                if !access.write {
                    self.ask_device(bus, access);
                }
                access.value = self.first_element(access);
            }
            Pending::Breakpoint(_) | Pending::Watched(_) | Pending::Page(_) => {}
            Pending::Step | Pending::Trap(_) => {}
            Pending::Reset | Pending::Shutdown { .. } => {}
        }
    }

    fn old_msr(&mut self, vcpu: &VcpuFd, msr: u32) -> Option<u64> {
        let wants = &self.armed.wants;
        let filtered = wants.kind(EventKind::Msr) && wants.msr_writes.contains(u64::from(msr));
        self.msrs.read(vcpu, &self.page, msr, filtered)
    }
}
