//! What an instruction does to memory, from its bytes and the registers before it runs.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "iced's registers and operand kinds are lists of hundreds, of which a few matter"
)]

use iced_x86::{
    Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};
use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use oriel_protocol::{Access, Gva};

/// One operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Its linear address.
    pub(super) gva: Gva,
    /// Bytes; 0 if the instruction does not say.
    pub(super) size: u8,
    /// What is done to it.
    pub(super) access: Access,
}

/// The registers before an instruction runs.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) regs: &'a kvm_regs,
    pub(super) sregs: &'a kvm_sregs,
}

/// Every operand of an instruction that lies in memory.
pub(super) fn operands(instruction: &Instruction, before: Before<'_>) -> Vec<Operand> {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let used = info.used_memory().iter();
    used.filter_map(|used| operand(used, before)).collect()
}

fn operand(used: &UsedMemory, before: Before<'_>) -> Option<Operand> {
    let access = match used.access() {
        OpAccess::Read | OpAccess::CondRead => Access::READ,
        OpAccess::Write | OpAccess::CondWrite => Access::WRITE,
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => Access::READ.union(Access::WRITE),
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    let gva = used.virtual_address(0, |register, _, _| before.value(register))?;
    Some(Operand {
        gva,
        size: u8::try_from(used.memory_size().size()).unwrap_or(0),
        access,
    })
}

/// What a plain MOV stores: its bytes come from nowhere else, and it does nothing besides.
pub(super) fn stored(instruction: &Instruction, before: Before<'_>) -> Option<u64> {
    if instruction.mnemonic() != Mnemonic::Mov || instruction.op0_kind() != OpKind::Memory {
        return None;
    }
    let size = instruction.memory_size().size();
    let value = match instruction.op1_kind() {
        OpKind::Register => before.value(instruction.op1_register())?,
        _ => instruction.try_immediate(1).ok()?,
    };
    (1..=8).contains(&size).then(|| value & mask(size))
}

/// Where a plain MOV puts what it loads.
pub(super) fn loaded(instruction: &Instruction) -> Option<Register> {
    let loads = instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Memory
        && instruction.op0_register().is_gpr();
    loads.then(|| instruction.op0_register())
}

/// Puts a value into a general register: 32 bits clear the upper half, fewer leave the rest (SDM
/// vol. 1, section 3.4.1.1).
pub(super) fn set(regs: &mut kvm_regs, register: Register, value: u64) {
    let high = matches!(
        register,
        Register::AH | Register::BH | Register::CH | Register::DH
    );
    let size = register.size();
    if let Some(full) = field(regs, register.full_register()) {
        *full = match size {
            4.. => value & mask(size),
            _ if high => *full & !0xff00 | (value & 0xff) << 8,
            _ => *full & !mask(size) | value & mask(size),
        };
    }
}

const fn mask(size: usize) -> u64 {
    if size >= 8 {
        u64::MAX
    } else {
        (1 << (size * 8)) - 1
    }
}

/// Whether all that an instruction does is to read memory and to write general registers and
/// flags, so that it is as if it had not run once these are put back.
pub(super) fn only_loads(instruction: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(instruction);
    let reads = |access| {
        matches!(
            access,
            OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess
        )
    };
    let memory = info.used_memory().iter().all(|used| reads(used.access()));
    let registers = info
        .used_registers()
        .iter()
        .all(|used| reads(used.access()) || used.register().is_gpr());
    memory && registers
}

/// The field of a 64-bit register.
const fn field(regs: &mut kvm_regs, register: Register) -> Option<&mut u64> {
    Some(match register {
        Register::RAX => &mut regs.rax,
        Register::RBX => &mut regs.rbx,
        Register::RCX => &mut regs.rcx,
        Register::RDX => &mut regs.rdx,
        Register::RSI => &mut regs.rsi,
        Register::RDI => &mut regs.rdi,
        Register::RSP => &mut regs.rsp,
        Register::RBP => &mut regs.rbp,
        Register::R8 => &mut regs.r8,
        Register::R9 => &mut regs.r9,
        Register::R10 => &mut regs.r10,
        Register::R11 => &mut regs.r11,
        Register::R12 => &mut regs.r12,
        Register::R13 => &mut regs.r13,
        Register::R14 => &mut regs.r14,
        Register::R15 => &mut regs.r15,
        Register::RIP => &mut regs.rip,
        _ => return None,
    })
}

impl Before<'_> {
    /// A register, or for a segment register its base.
    fn value(self, register: Register) -> Option<u64> {
        if register.is_segment_register() {
            return self.base(register);
        }
        let full = self.full(register.full_register())?;
        let high = matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        );
        Some((if high { full >> 8 } else { full }) & mask(register.size()))
    }

    fn full(self, register: Register) -> Option<u64> {
        field(&mut self.regs.clone(), register).map(|value| *value)
    }

    /// In 64-bit code only FS and GS have bases (SDM vol. 3, section 3.4.4).
    fn base(self, register: Register) -> Option<u64> {
        const EFER_LMA: u64 = 1 << 10;
        let sregs = self.sregs;
        let flat = sregs.efer & EFER_LMA != 0 && sregs.cs.l != 0;
        let based = |segment: &kvm_segment| if flat { 0 } else { segment.base };
        Some(match register {
            Register::FS => sregs.fs.base,
            Register::GS => sregs.gs.base,
            Register::CS => based(&sregs.cs),
            Register::DS => based(&sregs.ds),
            Register::ES => based(&sregs.es),
            Register::SS => based(&sregs.ss),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::code_asm::*;

    use super::*;

    const REGS: kvm_regs = kvm_regs {
        rax: 0x1122_3344_5566_7788,
        rbx: 0x1000,
        rsi: 0x2000,
        rdi: 0x3000,
        rsp: 0x8000,
        rcx: 2,
        rdx: 0,
        rbp: 0,
        r8: 0,
        r9: 0,
        r10: 0,
        r11: 0,
        r12: 0,
        r13: 0,
        r14: 0,
        r15: 0,
        rip: 0,
        rflags: 0,
    };

    fn long() -> kvm_sregs {
        let mut sregs = kvm_sregs {
            efer: 1 << 10,
            ..Default::default()
        };
        (sregs.cs.l, sregs.ds.base, sregs.gs.base) = (1, 0xbad, 0x10_0000);
        sregs
    }

    fn one(write: impl Fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Instruction {
        let mut asm = CodeAssembler::new(64).unwrap();
        write(&mut asm).unwrap();
        asm.instructions()[0]
    }

    fn of(instruction: &Instruction) -> Vec<(Gva, u8, Access)> {
        let sregs = long();
        let before = Before {
            regs: &REGS,
            sregs: &sregs,
        };
        let operands = operands(instruction, before);
        operands
            .iter()
            .map(|operand| (operand.gva, operand.size, operand.access))
            .collect()
    }

    #[test]
    fn operands_are_where_the_registers_say() {
        let (read, write) = (Access::READ, Access::WRITE);
        let both = read.union(write);
        let cases = [
            (
                one(|asm| asm.mov(rax, qword_ptr(rbx + rcx * 8 + 4))),
                vec![(0x1014, 8, read)],
            ),
            (
                one(|asm| asm.mov(byte_ptr(rbx), al)),
                vec![(0x1000, 1, write)],
            ),
            (
                one(|asm| asm.mov(eax, dword_ptr(rbx).gs())),
                vec![(0x10_1000, 4, read)],
            ),
            (one(|asm| asm.inc(word_ptr(rbx))), vec![(0x1000, 2, both)]),
            (one(|asm| asm.push(rax)), vec![(0x7ff8, 8, write)]),
            (one(|asm| asm.ret()), vec![(0x8000, 8, read)]),
            (
                one(|asm| asm.cmp(dword_ptr(rbx), 1)),
                vec![(0x1000, 4, read)],
            ),
            (one(|asm| asm.lea(rax, ptr(rbx))), vec![]),
            (
                one(|asm| asm.movups(xmm0, xmmword_ptr(rbx))),
                vec![(0x1000, 16, read)],
            ),
        ];
        for (instruction, expected) in cases {
            assert_eq!(of(&instruction), expected, "{instruction:?}");
        }
        let mut moved = of(&one(|asm| asm.movsq()));
        moved.sort_unstable_by_key(|(gva, ..)| *gva);
        assert_eq!(moved, [(0x2000, 8, read), (0x3000, 8, write)]);
    }

    #[test]
    fn what_a_mov_stores_is_known_and_nothing_else() {
        let sregs = long();
        let before = Before {
            regs: &REGS,
            sregs: &sregs,
        };
        let cases = [
            (
                one(|asm| asm.mov(qword_ptr(rbx), rax)),
                Some(0x1122_3344_5566_7788),
            ),
            (one(|asm| asm.mov(word_ptr(rbx), ax)), Some(0x7788)),
            (one(|asm| asm.mov(byte_ptr(rbx), ah)), Some(0x77)),
            (one(|asm| asm.mov(qword_ptr(rbx), -2)), Some(u64::MAX - 1)),
            (one(|asm| asm.mov(byte_ptr(rbx), 0x80)), Some(0x80)),
            (one(|asm| asm.add(qword_ptr(rbx), rax)), None),
            (one(|asm| asm.push(rax)), None),
            (one(|asm| asm.mov(rax, qword_ptr(rbx))), None),
        ];
        for (instruction, expected) in cases {
            assert_eq!(stored(&instruction, before), expected, "{instruction:?}");
        }
    }

    #[test]
    fn a_register_takes_what_its_size_takes() {
        let put = |register, value| {
            let mut regs = REGS;
            set(&mut regs, register, value);
            regs.rax
        };
        assert_eq!(put(Register::RAX, 1), 1);
        assert_eq!(put(Register::EAX, u64::MAX), 0xffff_ffff);
        assert_eq!(put(Register::AX, 1), 0x1122_3344_5566_0001);
        assert_eq!(put(Register::AL, 1), 0x1122_3344_5566_7701);
        assert_eq!(put(Register::AH, 1), 0x1122_3344_5566_0188);
    }

    #[test]
    fn only_loads_into_general_registers_can_be_taken_back() {
        for (instruction, expected) in [
            (one(|asm| asm.mov(eax, dword_ptr(rbx))), true),
            (one(|asm| asm.add(rax, qword_ptr(rbx))), true),
            (one(|asm| asm.cmp(qword_ptr(rbx), rax)), true),
            (one(|asm| asm.add(qword_ptr(rbx), rax)), false),
            (one(|asm| asm.movups(xmm0, xmmword_ptr(rbx))), false),
            (one(|asm| asm.push(qword_ptr(rbx))), false),
        ] {
            assert_eq!(only_loads(&instruction), expected, "{instruction:?}");
        }
    }
}
