//! INT3s that a vCPU has met, and how it goes on behind managed ones.
//!
//! A managed breakpoint is stepped over: its byte is taken away, the vCPU runs one instruction,
//! the byte comes back. Meanwhile no other vCPU may be in the guest, or it could run past
//! (`docs/decisions/0005-stepping-over-breakpoints.md`).

use iced_x86::Mnemonic;
use kvm_bindings::{KVM_MP_STATE_HALTED, kvm_mp_state};
use kvm_ioctls::VcpuFd;
use oriel_protocol::{EventKind, Gpa, Verdict, x86::Exception};

use super::{Seen, Tap, Then};
use crate::{
    GuestMemory as _, MachineError,
    kvm::{
        apply,
        bus::Bus,
        code::Code,
        patched::Byte,
        pending::{Int3, Pending},
    },
};

/// The address of what has none.
const UNKNOWN: Gpa = Gpa::MAX;

/// What is lifted for one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// Where the vCPU stood when that was decided.
    pub(super) ip: u64,
    /// A managed breakpoint on it.
    breakpoint: Option<Gpa>,
    /// Trapped pages that it touches.
    pub(super) frames: Vec<u64>,
    /// All that is trapped is lifted, as nobody knows what is touched.
    pub(super) blind: bool,
    /// What it finds in memory instead of what is there.
    pub(super) planted: Option<(Gpa, Box<[u8]>)>,
}

impl Over {
    /// Nothing yet.
    pub(super) const fn at(ip: u64) -> Self {
        Self {
            ip,
            breakpoint: None,
            frames: Vec::new(),
            blind: false,
            planted: None,
        }
    }
}

impl Tap {
    /// Whether the other vCPUs have to be out of the guest from [`before_run`](Self::before_run)
    /// to [`after_run`](Self::after_run): a trap is lifted for one instruction.
    pub fn needs_hold(&self) -> bool {
        self.over.is_some() && self.can_step()
    }

    /// Whether this KVM stops the vCPU after an instruction, where it stands.
    pub(super) fn can_step(&self) -> bool {
        let sregs = self.page.sregs();
        self.habits.steps_user || sregs.ss.dpl != 3 || sregs.cs.l == 0
    }

    /// An INT3 was met. Whose it is, memory says.
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

    fn look(&self) -> Option<Int3> {
        let ip = self.page.regs().rip;
        let mut int3 = Int3 {
            ip,
            gva: ip,
            gpa: UNKNOWN,
            managed: false,
        };
        let Some(memory) = self.arming.memory() else {
            return Some(int3);
        };
        let sregs = self.page.sregs();
        let code = Code {
            memory: &**memory,
            sregs: &sregs,
        };
        int3.gva = code.linear(ip);
        let Ok(gpa) = code.translate(int3.gva) else {
            return Some(int3);
        };
        int3.gpa = gpa;
        // Gone over, a managed one shows the byte beneath, which was an INT3 too.
        let beneath = self
            .passed
            .as_ref()
            .is_some_and(|passed| passed.breakpoint == Some(gpa));
        int3.managed = match memory.look(gpa) {
            Byte::Managed(_) => !beneath,
            Byte::Unmanaged => false,
            Byte::Other => return None,
        };
        Some(int3)
    }

    /// Goes over a managed breakpoint, unless the vCPU was moved away from it.
    pub(super) fn go_over(&mut self, int3: Int3) {
        if self.page.regs().rip == int3.ip {
            let mut over = self.over_here(int3.ip);
            over.breakpoint = Some(int3.gpa);
            self.over = Some(over);
        }
    }

    /// What is or was lifted already for the instruction where the vCPU stands.
    pub(super) fn over_here(&mut self, ip: u64) -> Over {
        let passed = self.passed.take();
        let before = self.over.take().or(passed);
        before
            .filter(|over| over.ip == ip)
            .unwrap_or_else(|| Over::at(ip))
    }

    /// The guest takes #BP, as from its own INT3. KVM pushes the address behind it, or leaves
    /// that to us.
    pub(super) fn raise_int3(&mut self, vcpu: &VcpuFd, int3: Int3) -> Result<(), MachineError> {
        if self.page.regs().rip == int3.ip && !self.habits.bp_adds_length {
            self.set_ip(int3.ip.wrapping_add(Int3::LENGTH.into()));
        }
        self.raise_exception(vcpu, Exception::BP)
    }

    /// Goes on behind the instruction at which a breakpoint stands, unless the vCPU was moved.
    pub(super) fn pass_over(&mut self, int3: Int3) {
        if self.page.regs().rip != int3.ip {
            return;
        }
        let length = if int3.managed {
            self.instruction_length(int3.ip)
        } else {
            Int3::LENGTH.into()
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

    /// Before the vCPU runs: one that was moved, or takes an exception first, has nothing to go
    /// over; one that repeats its instruction goes over it again.
    pub(super) fn settle_over(&mut self) {
        if self.over.is_none() && self.passed.is_none() {
            return;
        }
        let ip = self.page.regs().rip;
        if let Some(passed) = self.passed.take()
            && passed.ip == ip
            && self
                .instruction_at(ip)
                .is_some_and(|instruction| repeats(&instruction))
        {
            self.over = Some(passed);
        }
        let goes_first = self.page.events().exception.injected != 0;
        let stays = |over: &Over| over.ip == ip && (over.blind || !goes_first);
        self.over = self.over.take().filter(stays);
    }

    /// A halt is not stepped over, as with an in-kernel APIC the vCPU would stay in `KVM_RUN`
    /// with the others held: it halts behind it (KVM API, 4.39). Without one KVM refuses that, and
    /// its halt comes out at once.
    pub(super) fn halt_instead(&mut self, vcpu: &VcpuFd) {
        let Some(ip) = self.over.as_ref().map(|over| over.ip) else {
            return;
        };
        let Some(instruction) = self.instruction_at(ip) else {
            return;
        };
        let halted = kvm_mp_state {
            mp_state: KVM_MP_STATE_HALTED,
        };
        if instruction.mnemonic() == Mnemonic::Hlt && vcpu.set_mp_state(halted).is_ok() {
            self.set_ip(instruction.next_ip());
            self.over = None;
        }
    }

    /// Lifts what is to be lifted.
    pub(super) fn lift(&mut self) -> Result<(), MachineError> {
        let Some(over) = &self.over else {
            return Ok(());
        };
        self.lifted = true;
        if let (Some(gpa), Some(memory)) = (over.breakpoint, self.arming.memory()) {
            memory.lift(gpa);
        }
        if let Some(traps) = self.arming.traps().filter(|_| !over.frames.is_empty()) {
            let lifted = traps.lift(&over.frames);
            if !self.can_step() {
                // What else the vCPU does to these pages before it comes out is not seen.
                traps.count_unjudged();
                tracing::debug!(vcpu = self.index, frames = ?over.frames, "pages are open until the vCPU comes out");
            }
            lifted.map_err(|source| self.error("lifting a page's protection", source))?;
        }
        self.planted_over = over.planted.as_ref().and_then(|(gpa, bytes)| {
            let memory = self.arming.memory()?;
            let mut there = vec![0; bytes.len()];
            memory.read_at(*gpa, &mut there).ok()?;
            memory.write_at(*gpa, bytes).ok()?;
            Some(there)
        });
        Ok(())
    }

    /// Puts everything back.
    pub(super) fn lower(&mut self) {
        if !std::mem::take(&mut self.lifted) {
            return;
        }
        let Some(over) = &self.over else { return };
        if let (Some(original), Some((gpa, _)), Some(memory)) = (
            self.planted_over.take(),
            &over.planted,
            self.arming.memory(),
        ) {
            // It was RAM when it was planted, and nobody else has run since.
            let _ = memory.write_at(*gpa, &original);
        }
        if let (Some(gpa), Some(memory)) = (over.breakpoint, self.arming.memory()) {
            memory.lower(gpa);
        }
        if let Some(traps) = self.arming.traps().filter(|_| !over.frames.is_empty()) {
            self.trouble = traps.lower(&over.frames).err();
        }
    }
}

/// Whether the instruction is run in turns, with the instruction pointer on it meanwhile.
fn repeats(instruction: &iced_x86::Instruction) -> bool {
    instruction.has_rep_prefix() || instruction.has_repne_prefix()
}
