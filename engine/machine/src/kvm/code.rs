//! The instruction where a vCPU stands: where it lies, its bytes, and what they mean.

use iced_x86::{Decoder, DecoderOptions, Instruction};
use kvm_bindings::kvm_sregs;
use oriel_protocol::{Gpa, Gva, Refusal};

use super::registers;
use crate::{GuestMemory, paging};

const EFER_LMA: u64 = 1 << 10;
const LONGEST: usize = 15;

/// Code as a vCPU in this state sees it.
#[derive(Clone, Copy)]
pub(super) struct Code<'a> {
    pub(super) memory: &'a dyn GuestMemory,
    pub(super) sregs: &'a kvm_sregs,
}

impl Code<'_> {
    /// The linear address of an instruction pointer.
    pub(super) const fn linear(&self, ip: u64) -> Gva {
        if mode_bits(self.sregs) == 64 {
            ip
        } else {
            self.sregs.cs.base.wrapping_add(ip) & u32::MAX as u64
        }
    }

    /// Where a linear address leads.
    pub(super) fn translate(&self, linear: Gva) -> Result<Gpa, Refusal> {
        let mode = paging::Mode::of(&registers::special(self.sregs));
        let there = paging::translate(self.memory, mode, self.sregs.cr3, linear)?;
        Ok(there.gpa)
    }

    /// Up to fifteen bytes from an instruction pointer on, as many as can be had.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if there is not one.
    pub(super) fn bytes(&self, ip: u64) -> Result<Vec<u8>, Refusal> {
        let linear = self.linear(ip);
        let on_page = usize::try_from(0x1000 - (linear & 0xfff)).unwrap_or(LONGEST);
        let mut bytes = self.piece(linear, on_page.min(LONGEST))?;
        if bytes.len() < LONGEST
            && let Some(next) = linear.checked_add(on_page as u64)
            && let Ok(rest) = self.piece(next, LONGEST - bytes.len())
        {
            bytes.extend(rest);
        }
        Ok(bytes)
    }

    fn piece(&self, linear: Gva, length: usize) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; length];
        self.memory.read_at(self.translate(linear)?, &mut bytes)?;
        Ok(bytes)
    }

    /// The instruction there; none if its bytes cannot be had, or are none.
    pub(super) fn instruction(&self, ip: u64) -> Option<Instruction> {
        let bytes = self.bytes(ip).ok()?;
        let instruction = self.decode(&bytes, ip);
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// The first instruction of these bytes.
    pub(super) fn decode(&self, bytes: &[u8], ip: u64) -> Instruction {
        Decoder::with_ip(mode_bits(self.sregs), bytes, ip, DecoderOptions::NONE).decode()
    }
}

/// 64, 32 or 16: what the code segment makes of its bytes (SDM vol. 3, section 5.2.1).
const fn mode_bits(sregs: &kvm_sregs) -> u32 {
    match (
        sregs.efer & EFER_LMA != 0 && sregs.cs.l != 0,
        sregs.cs.db != 0,
    ) {
        (true, _) => 64,
        (false, true) => 32,
        (false, false) => 16,
    }
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;

    fn long() -> kvm_sregs {
        let mut sregs = kvm_sregs {
            efer: EFER_LMA,
            ..Default::default()
        };
        (sregs.cs.l, sregs.cs.base) = (1, 0x100);
        sregs
    }

    #[test]
    fn an_instruction_over_two_pages_is_whole_and_one_at_the_end_of_memory_too() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
        memory.write_at(0xffe, &[0x48, 0x89, 0xd8]).unwrap();
        memory.write_at(0x1fff, &[0x90]).unwrap();
        let sregs = long();
        let code = Code {
            memory: &memory,
            sregs: &sregs,
        };
        assert_eq!(code.instruction(0xffe).unwrap().len(), 3);
        assert_eq!(code.bytes(0xffe).unwrap().len(), LONGEST);
        assert_eq!(code.bytes(0x1fff), Ok(vec![0x90]));
        assert_eq!(code.bytes(0x2000), Err(Refusal::NotFound));
        assert_eq!(code.instruction(0x2000), None);
    }

    #[test]
    fn segments_count_where_there_are_any() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
        let mut sregs = long();
        let at = |sregs: &kvm_sregs| {
            Code {
                memory: &memory,
                sregs,
            }
            .linear(0x10)
        };
        assert_eq!(at(&sregs), 0x10);
        sregs.cs.l = 0;
        assert_eq!(at(&sregs), 0x110);
        sregs.cs.base = 0xffff_fff8;
        assert_eq!(at(&sregs), 8);
    }
}
