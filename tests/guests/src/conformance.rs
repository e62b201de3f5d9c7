//! `msr-conformance`: a table of MSRs and values, each written and read back.
//!
//! For every row the guest reports three numbers: 1 if the write faulted, 1 if the read faulted,
//! and what the read gave (0 if it faulted). A policy that always continues must not change one
//! of them.

use iced_x86::code_asm::*;

use crate::{
    Guest,
    program::{Assembled, Program, count},
};

/// How many numbers the guest reports for each row.
pub const REPORTS_PER_ROW: usize = 3;

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it tries, in a few words.
    pub name: &'static str,
    /// The MSR.
    pub msr: u32,
    /// The value.
    pub value: u64,
}

const fn row(name: &'static str, msr: u32, value: u64) -> Row {
    Row { name, msr, value }
}

const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const MISC_ENABLE: u32 = 0x1a0;
const MTRR_PHYS_BASE_0: u32 = 0x200;
const MTRR_DEFAULT: u32 = 0x2ff;
const PAT: u32 = 0x277;
const EFER: u32 = 0xc000_0080;
const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const CSTAR: u32 = 0xc000_0083;
const SFMASK: u32 = 0xc000_0084;
const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;
const KERNEL_GS_BASE: u32 = 0xc000_0102;
const TSC_AUX: u32 = 0xc000_0103;

const KERNEL: u64 = 0xffff_ffff_8100_0000;
const NOT_CANONICAL: u64 = 0x1234_0000_0000_0000;
/// Canonical with 57 bits of address, not with 48.
const ONLY_57_BITS: u64 = 0x0080_0000_0000_0000;

/// SCE, LME, LMA and NXE.
const EFER_USUAL: u64 = 0xd01;

/// Every row, in the order of the reports.
pub const ROWS: &[Row] = &[
    row("SYSENTER_CS, a selector", SYSENTER_CS, 0x10),
    row("SYSENTER_CS, all bits", SYSENTER_CS, u64::MAX),
    row("SYSENTER_ESP, an address", SYSENTER_ESP, KERNEL),
    row("SYSENTER_ESP, not canonical", SYSENTER_ESP, NOT_CANONICAL),
    row("SYSENTER_EIP, an address", SYSENTER_EIP, KERNEL),
    row("SYSENTER_EIP, not canonical", SYSENTER_EIP, NOT_CANONICAL),
    row(
        "SYSENTER_EIP, above 32 bits",
        SYSENTER_EIP,
        0x7fff_1234_5678,
    ),
    row("MISC_ENABLE, fast strings", MISC_ENABLE, 1),
    row("MISC_ENABLE, EMON is read-only", MISC_ENABLE, 1 << 7),
    row("MISC_ENABLE, BTS is read-only", MISC_ENABLE, 1 | 1 << 11),
    row("MISC_ENABLE, PEBS is read-only", MISC_ENABLE, 1 | 1 << 12),
    row("MISC_ENABLE, MWAIT", MISC_ENABLE, 1 | 1 << 18),
    row("MISC_ENABLE, all bits", MISC_ENABLE, u64::MAX),
    row("PAT, the usual", PAT, 0x0007_0406_0007_0406),
    row("PAT, another order", PAT, 0x0007_0105_0007_0406),
    row("PAT, type 2 does not exist", PAT, 0x0007_0406_0007_0206),
    row("PAT, type 8 does not exist", PAT, 0x0807_0406_0007_0406),
    row("EFER, as it is", EFER, EFER_USUAL),
    row("EFER, no syscalls", EFER, 0xd00),
    row("EFER, LMA belongs to hardware", EFER, 0x901),
    row("EFER, LME cannot go under paging", EFER, 0xc01),
    row("EFER, neither LME nor LMA", EFER, 0x801),
    row("EFER, a reserved bit", EFER, EFER_USUAL | 1 << 1),
    row("EFER, a high reserved bit", EFER, EFER_USUAL | 1 << 40),
    row("EFER, SVM", EFER, EFER_USUAL | 1 << 12),
    row("EFER, fast FXSAVE", EFER, EFER_USUAL | 1 << 14),
    row("EFER, automatic IBRS", EFER, EFER_USUAL | 1 << 21),
    row("EFER, the usual again", EFER, EFER_USUAL),
    row("STAR, selectors", STAR, 0x0023_0010_0000_0000),
    row("STAR, all bits", STAR, u64::MAX),
    row("LSTAR, an address", LSTAR, KERNEL),
    row("LSTAR, a user address", LSTAR, 0x40_1000),
    row("LSTAR, not canonical", LSTAR, NOT_CANONICAL),
    row("LSTAR, canonical with 57 bits", LSTAR, ONLY_57_BITS),
    row("CSTAR, an address", CSTAR, KERNEL),
    row("CSTAR, not canonical", CSTAR, NOT_CANONICAL),
    row("SFMASK, the usual", SFMASK, 0x4_7700),
    row("SFMASK, all bits", SFMASK, u64::MAX),
    row("FS_BASE, an address", FS_BASE, 0x7fff_0000_1000),
    row("FS_BASE, not canonical", FS_BASE, NOT_CANONICAL),
    row("GS_BASE, an address", GS_BASE, KERNEL),
    row("GS_BASE, not canonical", GS_BASE, NOT_CANONICAL),
    row("KERNEL_GS_BASE, an address", KERNEL_GS_BASE, KERNEL),
    row(
        "KERNEL_GS_BASE, not canonical",
        KERNEL_GS_BASE,
        NOT_CANONICAL,
    ),
    row("TSC_AUX, 32 bits", TSC_AUX, 7),
    row("TSC_AUX, 64 bits", TSC_AUX, 0x1_0000_0007),
    row("MTRR, a write-back range", MTRR_PHYS_BASE_0, 6),
    row("MTRR, type 2 does not exist", MTRR_PHYS_BASE_0, 2),
    row("MTRR default, write-back", MTRR_DEFAULT, 0xc06),
    row(
        "MTRR default, a reserved bit",
        MTRR_DEFAULT,
        0xc06 | 1 << 20,
    ),
    row("an MSR that does not exist", 0x1337, 1),
    row("another, among AMD's", 0xc000_1337, 1),
];

pub(crate) fn guest(vcpus: u32) -> Guest {
    crate::program::guest("msr-conformance", vcpus, |program| {
        program.only_first(1)?;
        program.catch_faults()?;
        let table = program.data(table());
        let mut next = program.asm.create_label();
        program.asm.lea(r8, ptr(table))?;
        program.asm.mov(r9d, count(ROWS.len()))?;
        program.asm.set_label(&mut next)?;
        write_row(program)?;
        program.asm.mov(ecx, dword_ptr(r8))?;
        program.asm.xor(r15, r15)?;
        program.read_msr_of_ecx()?;
        program.asm.mov(r10, rax)?;
        program.report(r15)?;
        program.report(r10)?;
        program.asm.add(r8, 16)?;
        program.asm.dec(r9d)?;
        program.asm.jnz(next)?;
        program.end(0)
    })
}

/// Writes the row at R8 and reports whether that faulted.
fn write_row(program: &mut Program) -> Assembled {
    program.asm.mov(ecx, dword_ptr(r8))?;
    program.asm.mov(eax, dword_ptr(r8 + 8))?;
    program.asm.mov(edx, dword_ptr(r8 + 12))?;
    program.asm.xor(r15, r15)?;
    program.asm.wrmsr()?;
    program.report(r15)
}

/// Sixteen bytes a row: the MSR, the value.
fn table() -> Vec<u8> {
    ROWS.iter()
        .flat_map(|row| [u64::from(row.msr).to_le_bytes(), row.value.to_le_bytes()])
        .flatten()
        .collect()
}
