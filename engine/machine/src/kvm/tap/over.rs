//! What is lifted for one instruction: a managed breakpoint, traps at pages, bytes in memory, a
//! hardware point.
//!
//! From the entry to the return of `KVM_RUN` it is lifted. Where that is in memory, which all vCPUs
//! see, the others are out of the guest meanwhile
//! (`docs/decisions/0005-stepping-over-breakpoints.md`). A return for another reason than the end
//! of the instruction puts everything back.

use iced_x86::{Mnemonic, OpKind};
use kvm_bindings::{KVM_MP_STATE_HALTED, kvm_mp_state};
use kvm_ioctls::VcpuFd;
use oriel_protocol::{Access, Gpa, Gva, HardwarePoint};

use super::{Tap, breakpoint::UNKNOWN};
use crate::{GuestMemory as _, MachineError};

/// What is lifted for one instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Over {
    /// Where the vCPU stood when that was decided.
    pub(super) ip: u64,
    /// The managed breakpoint on it, and those that lie in the middle of it.
    pub(super) breakpoints: Vec<Gpa>,
    /// Its linear address, where no hardware point is to be met.
    pub(super) point: Option<Gva>,
    /// Trapped pages that it touches.
    pub(super) frames: Vec<u64>,
    /// What of it was judged, a kind of access and a page each.
    judged: Vec<(u64, Access)>,
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
            breakpoints: Vec::new(),
            point: None,
            frames: Vec::new(),
            judged: Vec::new(),
            blind: false,
            planted: None,
        }
    }

    /// Whether something is lifted that other vCPUs see.
    const fn is_shared(&self) -> bool {
        !self.breakpoints.is_empty() || !self.frames.is_empty() || self.planted.is_some()
    }

    /// A verdict lets these kinds of access to a frame through.
    pub(super) fn admit(&mut self, frame: u64, access: Access) {
        self.frames.push(frame);
        self.judged.push((frame, access));
    }

    /// Whether verdicts let them through, for the instruction there.
    pub(super) fn admits(&self, ip: u64, frame: u64, access: Access) -> bool {
        let mut judged = self.judged.iter();
        self.ip == ip && judged.any(|(at, kinds)| *at == frame && kinds.contains(access))
    }
}

impl Tap {
    /// Whether the other vCPUs have to be out of the guest from [`go_in`](Self::go_in) to
    /// [`after_run`](Self::after_run): a trap is lifted for one instruction. To be asked after
    /// [`before_run`](Self::before_run), which decides on it.
    pub fn needs_hold(&self) -> bool {
        self.over.as_deref().is_some_and(Over::is_shared) && self.can_step()
    }

    /// Whether this KVM stops the vCPU after an instruction, where it stands.
    pub(super) fn can_step(&self) -> bool {
        let sregs = self.page.sregs();
        self.habits.steps_user || sregs.ss.dpl != 3 || sregs.cs.l == 0
    }

    /// What is or was lifted already for the instruction where the vCPU stands.
    pub(super) fn over_here(&mut self, ip: u64) -> Box<Over> {
        let passed = self.passed.take();
        let before = self.over.take().or(passed);
        before
            .filter(|over| over.ip == ip)
            .unwrap_or_else(|| Box::new(Over::at(ip)))
    }

    /// Before the vCPU runs: one that was moved, or takes an exception first, has nothing to go
    /// over; one that repeats its instruction goes over it again.
    pub(super) fn settle_over(&mut self) {
        if self.over.is_none() && self.passed.is_none() {
            return;
        }
        let ip = self.page.rip();
        if let Some(passed) = self.passed.take()
            && passed.ip == ip
            && self
                .instruction_at(ip)
                .is_some_and(|instruction| repeats(&instruction))
        {
            self.note_open(&passed);
            self.over = Some(passed);
        }
        let goes_first = self.page.events().exception.injected != 0;
        let stays = |over: &Over| over.ip == ip && (over.blind || !goes_first);
        self.over.take_if(|over| !stays(over));
    }

    /// A halt is not stepped: with an in-kernel APIC the vCPU would stay in `KVM_RUN` with the
    /// others held, and without one KVM reports the step in the place of the halt, which is lost. So
    /// the vCPU halts behind it (KVM API, 4.39), or whoever runs it is told of the halt.
    pub(super) fn halt_instead(&mut self, vcpu: &VcpuFd) {
        self.refresh();
        let stepped = self.armed.steps(self.index);
        if !(stepped || self.over.is_some()) {
            return;
        }
        let faults = self.page.events().exception.injected != 0 || self.page.cpl() != 0;
        if faults {
            return;
        }
        let ip = self.page.rip();
        if self.over.is_none() && self.is_watched(ip) {
            return;
        }
        let instruction = self.instruction_at(ip);
        let Some(halt) = instruction.filter(|found| found.mnemonic() == Mnemonic::Hlt) else {
            return;
        };
        let mp_state = KVM_MP_STATE_HALTED;
        self.halts = vcpu.set_mp_state(kvm_mp_state { mp_state }).is_err();
        self.set_ip(halt.next_ip());
        self.end_shadow();
        self.over = None;
        // Told of first, where KVM does not wait by itself.
        self.debug.stepped = stepped && !self.halts;
    }

    /// Whether somebody may want to hear that the instruction there is reached, before it runs.
    fn is_watched(&self, ip: u64) -> bool {
        let here = self.here(ip);
        let met = |point: &HardwarePoint| point.executes() && point.gva() == here.gva;
        if here.gpa == UNKNOWN || self.armed.hardware.iter().any(met) {
            return true;
        }
        let breaks = |gpa| {
            let memory = self.arming.memory();
            memory.is_some_and(|memory| memory.is_managed(gpa))
        };
        let traps = |gpa| {
            let traps = self.arming.traps();
            traps.is_some_and(|traps| traps.allowed(gpa).is_some())
        };
        breaks(here.gpa) || traps(here.gpa)
    }

    /// The halt that was done in the place of KVM, for whoever runs the vCPU.
    pub(super) fn take_halt(&mut self) -> bool {
        let halts = std::mem::take(&mut self.halts);
        if halts {
            self.debug.stepped = self.armed.steps(self.index);
        }
        halts
    }

    /// An instruction has run: no interrupt is held off any more by an STI before it. With that
    /// shadow KVM would not wake a vCPU that halts.
    fn end_shadow(&mut self) {
        let mut events = self.page.events();
        if events.interrupt.shadow != 0 {
            events.interrupt.shadow = 0;
            self.page.set_events(&events);
        }
    }

    /// Lifts what is to be lifted.
    #[cold]
    pub(super) fn lift(&mut self) -> Result<(), MachineError> {
        if let Some(over) = &mut self.over {
            let memory = self.arming.memory();
            let lies = |gpa: &Gpa| memory.is_some_and(|memory| memory.lift(*gpa));
            over.breakpoints.retain(lies);
        }
        let Some(over) = &self.over else {
            return Ok(());
        };
        self.lifted = true;
        if let Some(traps) = self.arming.traps().filter(|_| !over.frames.is_empty()) {
            let lifted = traps.lift(&over.frames);
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

    /// Puts everything back that was lifted.
    #[cold]
    pub(super) fn lower(&mut self) {
        let Some(over) = &self.over else { return };
        if let (Some(original), Some((gpa, _)), Some(memory)) = (
            self.planted_over.take(),
            &over.planted,
            self.arming.memory(),
        ) {
            // It was RAM when it was planted, and nobody else has run since.
            let _ = memory.write_at(*gpa, &original);
        }
        if let Some(memory) = self.arming.memory() {
            over.breakpoints.iter().for_each(|gpa| memory.lower(*gpa));
        }
        if let Some(traps) = self.arming.traps().filter(|_| !over.frames.is_empty()) {
            self.trouble = traps.lower(&over.frames).err();
        }
    }
}

/// Whether the instruction is run in turns, with the instruction pointer on it meanwhile.
pub(super) fn repeats(instruction: &iced_x86::Instruction) -> bool {
    instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
}

/// How many turns are left of it, by the register that counts them: as wide as its addresses.
pub(super) fn turns(instruction: &iced_x86::Instruction, rcx: u64) -> u64 {
    let operands = (0..instruction.op_count()).map(|at| instruction.op_kind(at));
    let is = |of: &[OpKind]| operands.clone().any(|kind| of.contains(&kind));
    if is(&[OpKind::MemorySegSI, OpKind::MemoryESDI, OpKind::MemorySegDI]) {
        rcx & 0xffff
    } else if is(&[
        OpKind::MemorySegESI,
        OpKind::MemoryESEDI,
        OpKind::MemorySegEDI,
    ]) {
        rcx & 0xffff_ffff
    } else {
        rcx
    }
}
