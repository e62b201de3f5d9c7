//! Guests that speak to devices.

use iced_x86::code_asm::*;

use crate::{
    Guest, abi,
    program::{count, guest},
};

/// A port that no device has.
pub const PIO_PORT: u16 = 0x1234;
/// What `pio` writes there.
pub const PIO_VALUE: u32 = 0xc0ff_ee11;
/// What `pio` writes to the serial port with one string instruction.
pub const PIO_TEXT: &str = "one instruction\n";
/// An address that is never RAM.
pub const MMIO_GPA: u64 = 0xd000_0000;
/// What `mmio` stores there.
pub const MMIO_VALUE: u64 = 0x1122_3344_5566_7788;

pub(crate) fn hello(vcpus: u32) -> Guest {
    guest("hello", vcpus, |program| {
        program.only_first(1)?;
        program.print("hello from the guest\n")?;
        program.end(0)
    })
}

/// Reports what it read as 32 bits, then as 8 (the rest of RAX is as it was).
pub(crate) fn pio(vcpus: u32) -> Guest {
    guest("pio", vcpus, |program| {
        program.only_first(1)?;
        program.asm.mov(edx, u32::from(PIO_PORT))?;
        program.asm.mov(eax, PIO_VALUE)?;
        program.asm.out(dx, eax)?;
        program.asm.in_(eax, dx)?;
        program.report(rax)?;
        program.asm.mov(eax, 0x1100)?;
        program.asm.mov(edx, u32::from(PIO_PORT))?;
        program.asm.in_(al, dx)?;
        program.report(rax)?;
        let text = program.data(PIO_TEXT);
        program.asm.lea(rsi, ptr(text))?;
        program.asm.mov(ecx, count(PIO_TEXT.len()))?;
        program.asm.mov(edx, u32::from(abi::COM1_PORT))?;
        program.asm.rep().outsb()?;
        program.end(0)
    })
}

/// Reports what it loaded as 64 bits, then as 16.
pub(crate) fn mmio(vcpus: u32) -> Guest {
    guest("mmio", vcpus, |program| {
        program.only_first(1)?;
        program.asm.mov(rbx, MMIO_GPA)?;
        program.asm.mov(rax, MMIO_VALUE)?;
        program.asm.mov(qword_ptr(rbx), rax)?;
        program.asm.mov(rax, qword_ptr(rbx))?;
        program.report(rax)?;
        program.asm.movzx(eax, word_ptr(rbx + 8))?;
        program.report(rax)?;
        program.end(0)
    })
}
