//! Accesses that KVM's emulator hands over piece by piece: `KVM_EXIT_MMIO` for what is RAM.

use kvm_ioctls::VcpuFd;
use oriel_protocol::{Access, Gpa, Verdict, page::frame};

use crate::{
    GuestMemory as _, MachineError,
    kvm::{
        access::{self, Before, Operand},
        apply,
        bus::Bus,
        pending::{Pending, Reach, Touch},
        tap::{
            Seen, Tap,
            over::{repeats, turns},
        },
    },
};

/// A verdict on a fragment of an instruction.
#[derive(Debug)]
pub(in crate::kvm::tap) struct Judged {
    touch: Touch,
    verdict: Verdict,
}

/// What was decided on fragments of an instruction that goes on.
#[derive(Debug, Default)]
pub(in crate::kvm::tap) struct SoFar {
    judged: Vec<Judged>,
    /// It goes on if the next exit is here and for the next element, as between two turns of a
    /// string instruction; none: the next exit is its next fragment for sure.
    at: Option<u64>,
}

impl SoFar {
    /// Whether nothing goes on.
    pub(in crate::kvm::tap) const fn is_empty(&self) -> bool {
        self.judged.is_empty()
    }

    /// What was decided on the same access to the same page, by an instruction that stands here.
    pub(super) fn on(&self, touch: &Touch, ip: u64) -> Option<&Verdict> {
        let goes_on = |judged: &Judged| match self.at {
            None => true,
            Some(at) => at == ip && judged.is_beside(touch),
        };
        let mut judged = self.judged.iter();
        let found = judged.find(|judged| judged.covers(touch) && goes_on(judged));
        found.map(|judged| &judged.verdict)
    }
}

impl Judged {
    /// Whether this is more of the same.
    pub(super) fn covers(&self, touch: &Touch) -> bool {
        frame(self.touch.gpa) == frame(touch.gpa) && self.touch.access.contains(touch.access)
    }

    /// Whether this is the next element of a string.
    fn is_beside(&self, touch: &Touch) -> bool {
        let size = u64::from(self.touch.size);
        self.touch.gpa.abs_diff(touch.gpa) == size
    }
}

impl Tap {
    /// Answers the load that KVM waits for.
    pub(in crate::kvm::tap) fn answer_load(&mut self, bytes: &[u8]) {
        self.page.set_data(0, bytes);
    }

    /// KVM's emulator could not reach RAM behind this address: a fragment of an instruction.
    #[inline(never)]
    pub(in crate::kvm::tap) fn fragment(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        (gpa, write, size): (Gpa, bool, u8),
    ) -> Result<Option<Seen>, MachineError> {
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
        let judged = self.so_far.on(&touch, self.page.rip()).cloned();
        if forbidden != Access::NONE && judged.is_none() {
            return self.touched(vcpu, bus, touch);
        }
        let skips = judged == Some(Verdict::Skip);
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
    #[inline]
    pub(in crate::kvm::tap) fn note_judged(&mut self, pending: &Pending, verdict: &Verdict) {
        if let Pending::Page(touch) = pending
            && !matches!(touch.reach, Reach::Before { .. })
        {
            self.judged = Some(Box::new(Judged {
                touch: *touch,
                verdict: verdict.clone(),
            }));
        }
    }

    /// Keeps in mind, or forgets, what was decided on the instruction of the last exit, by whether
    /// there is more of it to come; to be asked when KVM has completed what it could.
    pub(in crate::kvm::tap) fn keep_judged(&mut self) {
        let Some(judged) = self.judged.take() else {
            if !self.so_far.judged.is_empty() && self.so_far.at != Some(self.page.rip()) {
                self.so_far.judged.clear();
            }
            return;
        };
        self.so_far.at = match self.unread {
            true => None,
            false if self.has_turns_left(&judged.touch) => Some(judged.touch.ip),
            false => {
                self.so_far.judged.clear();
                return self.unless_it_ran(*judged);
            }
        };
        let known = &mut self.so_far.judged;
        known.retain(|known| !known.covers(&judged.touch));
        known.push(*judged);
    }

    /// Whether the vCPU stands between two turns of a string instruction.
    fn has_turns_left(&self, touch: &Touch) -> bool {
        let regs = self.page.regs();
        let instruction = self.instruction_at(touch.ip).filter(repeats);
        touch.repeats
            && regs.rip == touch.ip
            && instruction.is_some_and(|found| turns(&found, regs.rcx) != 0)
    }

    /// Where an instruction has been given what it loads, and still is not done, KVM's emulator
    /// reads more than it says, by a way that fails in silence (LIDT does so): it would ask for
    /// ever. It runs with the page open, as where the emulator cannot begin.
    pub(in crate::kvm::tap) fn unless_it_ran(&mut self, judged: Judged) {
        let Judged { touch, verdict } = judged;
        let stands = self.page.rip() == touch.ip;
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
        // A string instruction is not behind its store, unless it was the last.
        let ip = self.page.rip();
        Touch {
            ip,
            gva: None,
            gpa,
            access: Access::WRITE,
            size,
            value: Some(u64::from_le_bytes(bytes)),
            reach: Reach::Store,
            repeats: self.instruction_at(ip).as_ref().is_some_and(repeats),
        }
    }

    /// A load: the vCPU still stands at the instruction, which may store to the same place too.
    fn load_touch(&self, gpa: Gpa, size: u8) -> Touch {
        let ip = self.page.rip();
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
            repeats: instruction.as_ref().is_some_and(repeats),
        }
    }
}
