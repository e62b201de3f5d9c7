//! The container of a vmlinux: an ELF file with a note that says where PVH enters it (Xen,
//! `docs/misc/pvh.pandoc`), and the way from there into long mode.
//!
//! ```text
//!   1 MiB     32-bit code, its GDT at the end of the page
//!   + 0x1000  page tables: the first 4 GiB, where they are
//!   + 0x7000  the program
//! ```

use iced_x86::{Code, IcedError, Instruction, code_asm::*};

use super::{DESCRIPTORS, Ending};
use crate::{
    abi,
    program::{Assembled, Program, count},
};

const TABLES: u64 = abi::LOAD + 0x1000;
const PROGRAM: u64 = abi::LOAD + 0x7000;
/// What LGDT reads, and the table.
const GDT: usize = 0xf00;
/// The last byte of three descriptors.
const TABLE_LIMIT: u16 = 3 * 8 - 1;

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;
const PAE: i32 = 1 << 5;
const PAGING: u32 = 1 << 31;
const EFER: u32 = 0xc000_0080;
const LONG_MODE: i32 = 1 << 8;

/// `XEN_ELFNOTE_PHYS32_ENTRY`.
const NOTE_ENTRY: u32 = 18;
const HEADERS: usize = 64 + 2 * 56;
const NOTE: usize = 20;
/// Where the segment begins in the file.
const OFFSET: usize = 0x1000;

/// The file.
pub(super) fn file(ending: Ending) -> Result<Vec<u8>, IcedError> {
    let program = Program::assemble("vmlinux", 1, PROGRAM, |program| {
        program.asm.mov(r12d, ebx)?;
        program.begin()?;
        program.tell_start_info()?;
        program.run_kernel(ending)
    })?;
    let mut segment = start()?;
    segment.extend(page_tables().into_iter().flat_map(u64::to_le_bytes));
    segment.extend(program.image);
    let mut file = headers(segment.len() as u64);
    file.extend(note());
    file.resize(OFFSET, 0);
    file.extend(segment);
    Ok(file)
}

/// The page with the 32-bit code, which leaves EBX alone.
fn start() -> Result<Vec<u8>, IcedError> {
    let mut asm = CodeAssembler::new(32)?;
    let gdt = count(GDT) + low(abi::LOAD);
    asm.lgdt(fword_ptr(gdt))?;
    asm.mov(eax, cr4)?;
    asm.or(eax, PAE)?;
    asm.mov(cr4, eax)?;
    asm.mov(eax, low(TABLES))?;
    asm.mov(cr3, eax)?;
    asm.mov(ecx, EFER)?;
    asm.rdmsr()?;
    asm.or(eax, LONG_MODE)?;
    asm.wrmsr()?;
    asm.mov(eax, cr0)?;
    asm.or(eax, PAGING.cast_signed())?;
    asm.mov(cr0, eax)?;
    let jump = Instruction::with_far_branch(Code::Jmp_ptr1632, abi::CODE_SELECTOR, low(PROGRAM))?;
    asm.add_instruction(jump)?;
    let mut page = asm.assemble(abi::LOAD)?;
    page.resize(GDT, 0);
    let table: Vec<u8> = DESCRIPTORS.into_iter().flat_map(u64::to_le_bytes).collect();
    page.extend(TABLE_LIMIT.to_le_bytes());
    page.extend((gdt + 6).to_le_bytes());
    page.extend(table);
    page.resize(0x1000, 0);
    Ok(page)
}

/// PML4, PDPT and four page directories of 2 MiB pages.
fn page_tables() -> Vec<u64> {
    let page = |number: u64| (TABLES + number * 0x1000) | PRESENT_WRITABLE;
    let mut tables = vec![page(1)];
    tables.resize(512, 0);
    tables.extend((2..6).map(page));
    tables.resize(2 * 512, 0);
    tables.extend((0..4 * 512).map(|page| (page << 21) | LARGE | PRESENT_WRITABLE));
    tables
}

fn low(address: u64) -> u32 {
    u32::try_from(address).expect("guests lie below 4 GiB")
}

/// The ELF header, and those of the segment and of the note.
fn headers(size: u64) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    // An executable for x86-64, with program headers behind this one.
    for (value, size) in [
        (2, 2),
        (62, 2),
        (1, 4),
        (abi::LOAD, 8),
        (64, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (2, 2),
    ] {
        put(&mut bytes, value, size);
    }
    bytes.resize(64, 0);
    let note = (4, HEADERS as u64, 0, NOTE as u64);
    for (kind, offset, at, size) in [(1, OFFSET as u64, abi::LOAD, size), note] {
        for (value, size) in [
            (kind, 4),
            (7, 4),
            (offset, 8),
            (at, 8),
            (at, 8),
            (size, 8),
            (size, 8),
            (0x1000, 8),
        ] {
            put(&mut bytes, value, size);
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, value: u64, size: usize) {
    bytes.extend(&value.to_le_bytes()[..size]);
}

/// Owner, entry.
fn note() -> Vec<u8> {
    let mut note = Vec::new();
    for number in [
        4,
        4,
        NOTE_ENTRY,
        u32::from_le_bytes(*b"Xen\0"),
        low(abi::LOAD),
    ] {
        note.extend(number.to_le_bytes());
    }
    note
}

impl Program {
    /// The start info is where EBX pointed at first; the upper half of RBX is not to be relied on.
    fn tell_start_info(&mut self) -> Assembled {
        let mut no_module = self.asm.create_label();
        self.report_start(0)?;
        self.asm.mov(r11, qword_ptr(r12 + 24))?;
        self.asm.mov(r8, qword_ptr(r12 + 40))?;
        self.asm.mov(r9d, dword_ptr(r12 + 48))?;
        self.asm.mov(r10d, 24)?;
        self.asm.xor(r14d, r14d)?;
        self.asm.xor(r15d, r15d)?;
        self.asm.cmp(dword_ptr(r12 + 12), 1)?;
        self.asm.jne(no_module)?;
        self.asm.mov(rbx, qword_ptr(r12 + 16))?;
        self.asm.mov(r14, qword_ptr(rbx))?;
        self.asm.mov(r15, qword_ptr(rbx + 8))?;
        self.asm.set_label(&mut no_module)?;
        self.asm.nop()
    }
}
