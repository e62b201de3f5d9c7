//! What came of steps that say what should: the verdict, and the value that stands afterwards.
//! Notes it for the probe; compares nothing.

use oriel_protocol::{Access, Decision, EventData, Value, Verdict, commands::vcpu::Place};

use super::{MockVcpu, Stage};
use crate::mock::{
    cpu::mask,
    instruction::{Descriptor, Device, Instruction, Port, Touch},
    probe::Outcome,
    step::{Action, Step},
};

/// What is known so far of the step that is played.
#[derive(Debug, Default)]
pub(super) struct Course {
    decided: Option<Decision>,
    reported: Option<u64>,
    noted: bool,
}

impl Course {
    /// The first verdict that is not simply yes stays: what follows it is its consequence.
    fn decide(&mut self, decision: Decision) {
        if self.decided.is_none_or(|known| known == Decision::Continue) {
            self.decided = Some(decision);
        }
    }

    pub(super) const fn report(&mut self, value: u64) {
        self.reported = Some(value);
    }
}

impl MockVcpu {
    /// Takes down a verdict. The one on a single step comes when the step is over.
    pub(super) fn note_verdict(&mut self, data: &EventData, stage: Stage, verdict: &Verdict) {
        let decision = decision(data, verdict);
        if stage == Stage::Retired {
            if matches!(self.now, Instruction::Singlestep(_)) {
                self.amend(decision);
            }
            return;
        }
        self.course.decide(decision);
        if *verdict == Verdict::Crash {
            self.note_outcome();
        }
    }

    /// Takes down what came of this step, once.
    pub(super) fn note_outcome(&mut self) {
        let Some(step) = self.script.now().filter(|step| step.expect.is_some()) else {
            return;
        };
        if self.course.noted || self.script.loops() {
            return;
        }
        let outcome = Outcome {
            vcpu: self.index,
            step: self.script.position(),
            verdict: self.course.decided,
            value: self.course.reported.or_else(|| self.standing(step)),
        };
        self.course.noted = true;
        self.guest.seen().outcomes.push(outcome);
    }

    /// The next step, or the same once more.
    pub(super) fn fresh_course(&mut self) {
        self.course = Course::default();
    }

    fn amend(&mut self, decision: Decision) {
        let mut seen = self.guest.seen();
        if let Some(last) = seen.outcomes.last_mut() {
            last.verdict = Some(decision);
        }
    }

    /// What stands in the place that a step writes to.
    fn standing(&self, step: &Step) -> Option<u64> {
        let Action::Event(instruction) = &step.action else {
            return None;
        };
        let cpu = &self.guest.cpu;
        match instruction {
            Instruction::Cr(it) => cpu.cr(it.cr),
            Instruction::Msr(it) => cpu.msr(it.msr),
            Instruction::Xsetbv(it) => cpu.xcr(it.xcr),
            Instruction::MsrRead(_) => Some(cpu.edx_eax()),
            Instruction::Hypercall(_) | Instruction::Cpuid(_) => Some(cpu.general.rax),
            Instruction::Page(it) => self.touched(it),
            Instruction::Descriptor(it) => Some(self.table_of(*it)),
            Instruction::Pio(it) => self.went_out(*it),
            Instruction::Mmio(it) => self.stored(*it),
            Instruction::Breakpoint(_) | Instruction::Trap(_) | Instruction::Notice(_) => None,
            Instruction::Singlestep(_) | Instruction::Reset(_) | Instruction::Shutdown(_) => None,
        }
    }

    fn touched(&self, it: &Touch) -> Option<u64> {
        if it.access == Access::READ {
            return Some(self.guest.cpu.general.rax & mask(it.size));
        }
        let gpa = match it.place {
            Place::Gpa(gpa) => gpa,
            Place::Gva(gva) => self.guest.translate(gva, Access::READ).ok()?,
        };
        (it.access == Access::WRITE).then(|| self.guest.load(gpa, it.size))
    }

    fn table_of(&self, it: Descriptor) -> u64 {
        if it.write {
            self.guest.table(it.table)
        } else {
            self.guest.cpu.general.rax
        }
    }

    fn went_out(&self, it: Port) -> Option<u64> {
        if it.write {
            return self.guest.seen().ports.get(&it.port).copied();
        }
        Some(self.guest.cpu.general.rax & mask(it.size))
    }

    fn stored(&self, it: Device) -> Option<u64> {
        if it.write {
            return self.guest.seen().devices.get(&it.gpa).copied();
        }
        Some(self.guest.cpu.general.rax & mask(it.size))
    }
}

/// The verdict as a decision: to replace by the old value is to keep it.
fn decision(data: &EventData, verdict: &Verdict) -> Decision {
    match verdict {
        Verdict::Continue => Decision::Continue,
        Verdict::Retry => Decision::Retry,
        Verdict::Crash => Decision::Crash,
        Verdict::Replace(value) if data.old().map(Value::Word) == Some(*value) => Decision::Keep,
        Verdict::Replace(_) => Decision::Replace,
        Verdict::Deny => Decision::Deny,
        Verdict::Skip => Decision::Skip,
        Verdict::Inject(_) => Decision::Inject,
        Verdict::Emulate(_) => Decision::Emulate,
        Verdict::Step => Decision::Step,
    }
}
