//! Breakpoints that a vCPU has met, and how it goes on behind managed ones.
//!
//! A managed breakpoint is stepped over: its byte is taken away, the vCPU runs one instruction,
//! the byte comes back. Meanwhile no other vCPU may be in the guest, or it could run past
//! (`docs/decisions/0005-stepping-over-breakpoints.md`). With a hardware point at the same address
//! both are one breakpoint, met once.

use kvm_ioctls::VcpuFd;
use oriel_protocol::{EventKind, Gpa, Verdict, x86::Exception};

use super::{Seen, Tap, Then};
use crate::{
    MachineError,
    kvm::{
        apply,
        bus::Bus,
        code::Code,
        patched::Byte,
        pending::{Break, Pending},
    },
};

/// The address of what has none.
pub(super) const UNKNOWN: Gpa = Gpa::MAX;

impl Tap {
    /// An INT3 was met. Whose it is, memory says.
    #[inline(never)]
    pub(super) fn int3(&mut self, vcpu: &mut VcpuFd, bus: &dyn Bus) -> Result<Seen, MachineError> {
        let int3 = match self.look() {
            Some(int3) => int3,
            // It was taken away between the hit and now: what it stood over is to be run.
            None => return Ok(Seen::Handled),
        };
        if self.armed.wants.kind(EventKind::Breakpoint) {
            return Ok(Seen::Event(self.raise(Pending::Breakpoint(int3))));
        }
        let plan = apply::plan(Pending::Breakpoint(int3), Verdict::Continue);
        let then = self.carry_out(vcpu, bus, plan)?;
        debug_assert_eq!(then, Then::Enter, "nothing else comes of going on");
        Ok(Seen::Handled)
    }

    fn look(&self) -> Option<Break> {
        let mut int3 = Break {
            managed: false,
            ..self.here(self.page.rip())
        };
        let gpa = int3.gpa;
        let Some(memory) = self.arming.memory().filter(|_| gpa != UNKNOWN) else {
            return Some(int3);
        };
        // Gone over, a managed one shows the byte beneath, which was an INT3 too.
        let beneath = self
            .passed
            .as_ref()
            .is_some_and(|passed| passed.breakpoints.first() == Some(&gpa));
        int3.managed = match memory.look(gpa) {
            Byte::Managed(_) => !beneath,
            Byte::Unmanaged => false,
            Byte::Other => return None,
        };
        Some(int3)
    }

    /// Goes over a managed breakpoint, unless the vCPU was moved away from it.
    pub(super) fn go_over(&mut self, int3: Break) {
        if self.page.rip() == int3.ip {
            self.refresh();
            let breakpoints = self.within(int3);
            let mut over = self.over_here(int3.ip);
            (over.breakpoints, over.point) = (breakpoints, Some(int3.gva));
            self.over = Some(over);
        }
    }

    /// The managed breakpoints in the instruction that one stands on, this one first: it is run
    /// whole. That the byte is away just now, for another vCPU that goes over it, changes nothing.
    fn within(&self, int3: Break) -> Vec<Gpa> {
        let behind =
            (1..self.instruction_length(int3.ip)).map(|offset| int3.gva.wrapping_add(offset));
        let behind = behind.filter_map(|gva| {
            let gpa = self.translate(gva)?;
            self.arming.memory()?.is_managed(gpa).then_some(gpa)
        });
        let memory = self.arming.memory();
        let is_managed = |gpa: &Gpa| memory.is_some_and(|memory| memory.is_managed(*gpa));
        let here = Some(int3.gpa).filter(is_managed);
        here.into_iter().chain(behind).collect()
    }

    /// The guest takes #BP, as from its own INT3. KVM pushes the address behind it, or leaves
    /// that to us.
    pub(super) fn raise_int3(&mut self, vcpu: &VcpuFd, int3: Break) -> Result<(), MachineError> {
        if self.page.rip() == int3.ip && !self.habits.bp_adds_length {
            self.set_ip(int3.ip.wrapping_add(Break::LENGTH.into()));
        }
        self.raise_exception(vcpu, Exception::BP)
    }

    /// Goes on behind the instruction at which a breakpoint stands, unless the vCPU was moved.
    pub(super) fn pass_over(&mut self, int3: Break) {
        if self.page.rip() != int3.ip {
            return;
        }
        let length = if int3.managed {
            self.instruction_length(int3.ip)
        } else {
            Break::LENGTH.into()
        };
        self.set_ip(int3.ip.wrapping_add(length));
    }

    /// One where there is no telling: then at least it is not met again.
    pub(super) fn instruction_length(&self, ip: u64) -> u64 {
        self.instruction_at(ip)
            .map_or(1, |instruction| instruction.len() as u64)
    }

    pub(super) fn instruction_at(&self, ip: u64) -> Option<iced_x86::Instruction> {
        let memory = self.arming.memory()?;
        let sregs = self.page.sregs();
        let code = Code {
            memory: &**memory,
            sregs: &sregs,
        };
        code.instruction(ip)
    }
}
