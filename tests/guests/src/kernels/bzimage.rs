//! The container of a bzImage: a setup header, then the program where the 64-bit boot protocol enters
//! it (Linux, `Documentation/arch/x86/boot.rst`).

use iced_x86::{IcedError, code_asm::*};

use super::Ending;
use crate::{
    abi,
    program::{Assembled, Program},
};

/// The 64-bit entry lies here, behind a 32-bit entry that this kernel does not have.
const ENTRY: u64 = 0x200;
/// The boot sector, and one sector of setup code.
const SETUP: usize = 0x400;
/// What the boot protocol calls `__BOOT_CS` and `__BOOT_DS`.
const BOOT_CODE: u32 = 0x10;
const BOOT_DATA: u32 = 0x18;
/// Halts whoever comes by the 32-bit entry.
const HLT: u8 = 0xf4;
/// More memory than it takes.
const INIT_SIZE: u32 = 0x10_0000;

/// The file.
pub(super) fn file(ending: Ending) -> Result<Vec<u8>, IcedError> {
    let guest = Program::assemble("bzimage", 1, abi::LOAD + ENTRY, |program| {
        program.tell_zero_page()?;
        program.run_kernel(ending)
    })?;
    let mut file = header();
    file.resize(SETUP + 0x200, HLT);
    file.extend(guest.image);
    Ok(file)
}

/// The boot sector and the setup sector, with the fields that a loader looks at.
fn header() -> Vec<u8> {
    let mut header = vec![0; SETUP];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    // Version 2.15; loaded high; at 1 MiB.
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x214, &u32::to_le_bytes(0x10_0000));
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    // There is a 64-bit entry.
    put(0x236, &1_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x258, &abi::LOAD.to_le_bytes());
    put(0x260, &INIT_SIZE.to_le_bytes());
    header
}

impl Program {
    /// Segments as the protocol promises them, then our own; the zero page is where RSI points.
    fn tell_zero_page(&mut self) -> Assembled {
        let stack = self.data([0; 64]);
        self.asm.mov(r12, rsi)?;
        self.asm.lea(rsp, ptr(stack))?;
        self.asm.add(rsp, 64)?;
        self.use_segments(BOOT_CODE, BOOT_DATA)?;
        self.begin()?;
        self.report_start(0x202)?;
        self.asm.mov(r11d, dword_ptr(r12 + 0x228))?;
        self.asm.lea(r8, qword_ptr(r12 + 0x2d0))?;
        self.asm.movzx(r9d, byte_ptr(r12 + 0x1e8))?;
        self.asm.mov(r10d, 20)?;
        self.asm.mov(r14d, dword_ptr(r12 + 0x218))?;
        self.asm.mov(r15d, dword_ptr(r12 + 0x21c))
    }
}
