//! What an instruction that has not run touches of the trapped pages.

use iced_x86::Instruction;
use oriel_protocol::{
    Access, Gpa, Gva,
    page::{PAGE_SIZE, frame},
};

use crate::kvm::{
    access::{self, Before, Operand},
    code::Code,
    pending::{Reach, Touch},
    tap::{Tap, over::repeats},
};

/// What an instruction touches of the trapped pages.
#[derive(Default)]
pub(super) struct Involved {
    /// What is forbidden of it, a page each, in the order of fetch, then operands.
    pub(super) forbidden: Vec<Touch>,
    /// What is not.
    pub(super) silent: Vec<Touch>,
    /// Every trapped frame that it needs, forbidden or not.
    pub(super) frames: Vec<u64>,
}

impl Tap {
    pub(in crate::kvm::tap) fn translate(&self, gva: Gva) -> Option<Gpa> {
        let memory = self.arming.memory()?;
        let sregs = self.page.sregs();
        let code = Code {
            memory: &**memory,
            sregs: &sregs,
        };
        code.translate(gva).ok()
    }

    /// What the instruction where the vCPU stands touches of the trapped pages.
    pub(super) fn involved(&self) -> Involved {
        let mut involved = Involved::default();
        let (regs, sregs) = (self.page.regs(), self.page.sregs());
        let Some(memory) = self.arming.memory() else {
            return involved;
        };
        let code = Code {
            memory: &**memory,
            sregs: &sregs,
        };
        let before = Before {
            regs: &regs,
            sregs: &sregs,
        };
        let instruction = code.instruction(regs.rip);
        let fetch = Operand {
            gva: code.linear(regs.rip),
            size: instruction.map_or(1, |found| u8::try_from(found.len()).unwrap_or(1)),
            access: Access::EXECUTE,
        };
        self.involve(fetch, Part::Fetch, &mut involved);
        let Some(instruction) = instruction else {
            return involved;
        };
        let operands = access::operands(&instruction, before);
        let is_mov = access::stored(&instruction, before).is_some()
            || access::loaded(&instruction).is_some();
        let repeats = repeats(&instruction);
        let alone = operands.len() == 1 && !repeats && (is_mov || self.can_step());
        for operand in operands {
            let part = Part::Operand {
                instruction: &instruction,
                before,
                alone,
            };
            self.involve(operand, part, &mut involved);
        }
        involved
    }

    /// Adds the pages that an operand lies on.
    fn involve(&self, operand: Operand, part: Part<'_>, involved: &mut Involved) {
        let Some(traps) = self.arming.traps() else {
            return;
        };
        let last = operand.gva.wrapping_add(u64::from(operand.size.max(1)) - 1);
        let second = (last & !(PAGE_SIZE - 1) != operand.gva & !(PAGE_SIZE - 1))
            .then_some(last & !(PAGE_SIZE - 1));
        let split = second.is_some();
        for gva in std::iter::once(operand.gva).chain(second) {
            let Some(gpa) = self.translate(gva) else {
                continue;
            };
            let Some(allowed) = traps.allowed(gpa) else {
                continue;
            };
            involved.frames.push(frame(gpa));
            let forbidden = operand.access.difference(allowed);
            let (value, reach) = part.reach(operand, split);
            let touch = Touch {
                ip: self.page.rip(),
                gva: Some(gva),
                gpa,
                access: forbidden,
                size: if part.is_fetch() { 0 } else { operand.size },
                value,
                reach,
                repeats: part.repeats(),
            };
            if forbidden != Access::NONE {
                involved.forbidden.push(touch);
            } else if !part.is_fetch() {
                involved.silent.push(touch);
            }
        }
    }
}

/// Which part of an instruction touches memory.
#[derive(Clone, Copy)]
enum Part<'a> {
    Fetch,
    Operand {
        instruction: &'a Instruction,
        before: Before<'a>,
        /// It is the only operand in memory, and what is done with it can be changed.
        alone: bool,
    },
}

impl Part<'_> {
    const fn is_fetch(&self) -> bool {
        matches!(self, Self::Fetch)
    }

    fn repeats(&self) -> bool {
        matches!(self, Self::Operand { instruction, .. } if repeats(instruction))
    }

    /// What it stores, where that is known; and what can be done about it.
    fn reach(self, operand: Operand, split: bool) -> (Option<u64>, Reach) {
        let Self::Operand {
            instruction,
            before,
            alone,
        } = self
        else {
            return (None, Reach::Before { plain: false });
        };
        let value = access::stored(instruction, before);
        let one = alone && !split && (1..=8).contains(&operand.size);
        (value, Reach::Before { plain: one })
    }
}
