//! Guests that touch one page in every way, in kernel and in user mode.

use iced_x86::code_asm::*;

use crate::{
    Guest,
    program::{Assembled, Program, guest},
};

/// The page that is touched. Its first bytes have to be RETs before the guest calls them.
pub const PAGE: u64 = 0x20_4000;
/// The word in it that is loaded and stored.
pub const PAGE_WORD: u64 = PAGE + 0x80;
/// Where `copies` copies it to: the same place in the next page.
pub const PAGE_COPY: u64 = PAGE_WORD + 0x1000;
/// What RAX holds before the first load.
pub const PAGE_BEFORE: u64 = 0x77;
/// What is stored.
pub const PAGE_STORED: u32 = 0x1234_5678;
/// What is added, twice.
pub const PAGE_ADDED: u32 = 5;

/// In kernel mode. Every instruction that touches the page has two bytes, but for the locked one:
/// what faults is passed over.
pub(crate) fn kernel(vcpus: u32) -> Guest {
    guest("pages", vcpus, |program| {
        program.only_first(1)?;
        program.catch_faults()?;
        touch(program)
    })
}

/// The same in user mode, with ports allowed and nothing that catches faults.
pub(crate) fn user(vcpus: u32) -> Guest {
    guest("user-pages", vcpus, |program| {
        program.only_first(1)?;
        program.drop_to_user()?;
        program.asm.xor(r15, r15)?;
        touch(program)
    })
}

/// Copies a word from the page to the next, then 16 bytes within the page; reports the copies.
pub(crate) fn copies(vcpus: u32) -> Guest {
    guest("copies", vcpus, |program| {
        program.only_first(1)?;
        program.asm.mov(rsi, PAGE_WORD)?;
        program.asm.mov(rdi, PAGE_COPY)?;
        program.here("two-pages")?;
        program.asm.movsq()?;
        program.asm.mov(rbx, PAGE)?;
        program.asm.movups(xmm0, xmmword_ptr(rbx + 0x80))?;
        program.here("sixteen")?;
        program.asm.movups(xmmword_ptr(rbx + 0x100), xmm0)?;
        program.here("stored")?;
        for copy in [PAGE_COPY, PAGE + 0x100, PAGE + 0x108] {
            program.asm.mov(rbx, copy)?;
            program.asm.mov(rax, qword_ptr(rbx))?;
            program.report(rax)?;
        }
        program.end(0)
    })
}

/// Reports the word as it is loaded, after the store, after each addition, and how many #GP were
/// taken.
fn touch(program: &mut Program) -> Assembled {
    program.asm.mov(rbx, PAGE_WORD)?;
    program.asm.mov(rax, PAGE_BEFORE)?;
    program.here("load")?;
    program.asm.mov(eax, dword_ptr(rbx))?;
    program.report(rax)?;
    program.asm.mov(ecx, PAGE_STORED)?;
    program.here("store")?;
    program.asm.mov(dword_ptr(rbx), ecx)?;
    program.here("reload")?;
    program.asm.mov(eax, dword_ptr(rbx))?;
    program.report(rax)?;
    program.asm.mov(ecx, PAGE_ADDED)?;
    program.here("add")?;
    program.asm.add(dword_ptr(rbx), ecx)?;
    program.here("sum")?;
    program.asm.mov(eax, dword_ptr(rbx))?;
    program.report(rax)?;
    program.here("locked")?;
    program.asm.lock().add(dword_ptr(rbx), ecx)?;
    program.here("total")?;
    program.asm.mov(eax, dword_ptr(rbx))?;
    program.report(rax)?;
    program.asm.mov(rbx, PAGE)?;
    program.asm.call(rbx)?;
    program.report(r15)?;
    program.end(0)
}
