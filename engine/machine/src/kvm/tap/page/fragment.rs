//! Accesses that KVM's emulator hands over piece by piece: `KVM_EXIT_MMIO` for what is RAM.

use kvm_ioctls::VcpuFd;
use oriel_protocol::{Access, Gpa, Verdict, page::frame};

use crate::{
    GuestMemory as _, MachineError,
    kvm::{
        access::{self, Before, Operand},
        apply,
        bus::Bus,
        exit::RawExit,
        pending::{Pending, Reach, Touch},
        tap::{Seen, Tap, over::repeats},
    },
};

/// A verdict on a fragment of an instruction.
#[derive(Debug)]
pub(in crate::kvm::tap) struct Judged {
    touch: Touch,
    verdict: Verdict,
}

impl Judged {
    /// Whether this is more of the same.
    pub(super) fn covers(&self, touch: &Touch) -> bool {
        frame(self.touch.gpa) == frame(touch.gpa) && self.touch.access.contains(touch.access)
    }
}

impl Tap {
    /// Answers the load that KVM waits for.
    pub(in crate::kvm::tap) fn answer_load(&mut self, bytes: &[u8]) {
        self.page.set_data(0, bytes);
    }

    /// KVM's emulator could not reach RAM behind this address: a fragment of an instruction.
    pub(in crate::kvm::tap) fn fragment(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        exit: RawExit,
    ) -> Result<Option<Seen>, MachineError> {
        let RawExit::Memory { gpa, write, size } = exit else {
            return Ok(None);
        };
        let is_ram =
            |memory: &&std::sync::Arc<crate::kvm::PatchedRam>| memory.covers(gpa, size.into());
        let Some(memory) = self.arming.memory().filter(is_ram).cloned() else {
            return Ok(None);
        };
        if self.arming.traps().is_none() {
            return Ok(None);
        }
        if !write {
            let mut there = [0; 8];
            let there = &mut there[..usize::from(size).min(8)];
            if memory.read_at(gpa, there).is_ok() {
                self.answer_load(there);
            }
        }
        let touch = if write {
            self.store_touch(gpa, size)
        } else {
            self.load_touch(gpa, size)
        };
        self.judge_fragment(vcpu, bus, touch).map(Some)
    }

    fn judge_fragment(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        touch: Touch,
    ) -> Result<Seen, MachineError> {
        let traps = self.arming.traps();
        let allowed = traps
            .and_then(|traps| traps.allowed(touch.gpa))
            .unwrap_or(Access::ALL);
        let forbidden = touch.access.difference(allowed);
        let touch = Touch {
            access: forbidden,
            ..touch
        };
        // The rest of an instruction that was judged already goes the same way.
        let judged = self.goes_on.take().filter(|judged| judged.covers(&touch));
        if forbidden != Access::NONE && judged.is_none() {
            return self.touched(vcpu, bus, touch);
        }
        let skips = judged.is_some_and(|judged| judged.verdict == Verdict::Skip);
        let verdict = if skips && touch.reach == Reach::Store {
            Verdict::Skip
        } else {
            Verdict::Continue
        };
        let pending = Pending::Page(touch);
        self.note_judged(&pending, &verdict);
        self.carry_out(vcpu, bus, apply::plan(pending, verdict))?;
        Ok(Seen::Handled)
    }

    /// Keeps in mind what was decided, for what else comes of the same instruction.
    pub(in crate::kvm::tap) fn note_judged(&mut self, pending: &Pending, verdict: &Verdict) {
        if let Pending::Page(touch) = pending
            && !matches!(touch.reach, Reach::Before { .. })
        {
            self.judged = Some(Judged {
                touch: *touch,
                verdict: verdict.clone(),
            });
        }
    }

    /// Where an instruction has been given what it loads, and still is not done, KVM's emulator
    /// reads more than it says, by a way that fails in silence (LIDT does so): it would ask for
    /// ever. It runs with the page open, as where the emulator cannot begin.
    pub(in crate::kvm::tap) fn unless_it_ran(&mut self, judged: Judged) {
        let Judged { touch, verdict } = judged;
        let stands = self.page.regs().rip == touch.ip;
        let faults = self.page.events().exception.injected != 0;
        if !matches!(touch.reach, Reach::Load { .. }) || !stands || faults {
            return;
        }
        let repeats = |found| repeats(&found);
        if self.instruction_at(touch.ip).is_none_or(repeats) {
            return;
        }
        if let Verdict::Emulate(bytes) = verdict {
            self.plant(touch, &bytes);
        } else {
            self.go_through(touch);
        }
    }

    /// A store: the instruction is behind us, and nothing is known of it but what it stores.
    fn store_touch(&self, gpa: Gpa, size: u8) -> Touch {
        let mut bytes = [0; 8];
        self.page.data(0, &mut bytes[..usize::from(size).min(8)]);
        Touch {
            ip: self.page.regs().rip,
            gva: None,
            gpa,
            access: Access::WRITE,
            size,
            value: Some(u64::from_le_bytes(bytes)),
            reach: Reach::Store,
        }
    }

    /// A load: the vCPU still stands at the instruction, which may store to the same place too.
    fn load_touch(&self, gpa: Gpa, size: u8) -> Touch {
        let ip = self.page.regs().rip;
        let instruction = self.instruction_at(ip);
        let regs = self.page.regs();
        let sregs = self.page.sregs();
        let before = Before {
            regs: &regs,
            sregs: &sregs,
        };
        let operands = instruction.map(|found| access::operands(&found, before));
        let here = |operand: &&Operand| self.translate(operand.gva) == Some(gpa);
        let operand = operands.iter().flatten().find(here);
        Touch {
            ip,
            gva: operand.map(|operand| operand.gva),
            gpa,
            access: operand.map_or(Access::READ, |operand| operand.access),
            size,
            value: None,
            reach: Reach::Load {
                undoable: instruction.is_some_and(|found| access::only_loads(&found)),
            },
        }
    }
}
