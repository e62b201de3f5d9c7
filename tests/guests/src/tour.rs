//! `tour`: everything that a vCPU can show, over and over, until it is told to stop.
//!
//! It works whatever a judge answers: an MSR access that faults is passed over, any other exception
//! is counted and returned from.

use iced_x86::code_asm::*;

use crate::{
    Guest,
    io::{MMIO_GPA, PIO_PORT},
    program::{Assembled, Program, guest},
};

/// Any number but 0 written here (8 bytes) ends the tour.
pub const TOUR_STOP: u64 = 0x20_0000;
/// Where vCPU n counts its rounds: eight bytes each from here on, for 64 of them.
pub const TOUR_ROUNDS: u64 = 0x20_0200;
/// How often vector n was taken: eight bytes each from here on, for 32 of them.
pub const TOUR_TAKEN: u64 = 0x20_0100;
/// A page of its own. Each round stores to it, loads from it, and calls its first byte, which is
/// a RET.
pub const TOUR_PAGE: u64 = 0x20_1000;
/// Where in the page vCPU n stores its round: eight bytes each from here on.
pub const TOUR_SLOTS: u64 = TOUR_PAGE + 0x100;

const DONE: u64 = 0x20_0008;
const STAR: u32 = 0xc000_0081;
const RET: u32 = 0xc3;

/// The vectors that are caught.
const CAUGHT: [(u32, bool); 8] = [
    (0, false),
    (1, false),
    (3, false),
    (6, false),
    (11, true),
    (12, true),
    (13, true),
    (14, true),
];

/// R8 counts the rounds; R9 holds the page, R10 the vCPU's slot in it.
pub(crate) fn guest_of(vcpus: u32) -> Guest {
    guest("tour", vcpus, |program| {
        catch(program)?;
        let mut again = program.asm.create_label();
        program.asm.xor(r8d, r8d)?;
        program.asm.mov(r9, TOUR_PAGE)?;
        program.asm.mov(r10, TOUR_SLOTS)?;
        program.asm.lea(r10, ptr(r10 + rdi * 8))?;
        program.asm.mov(byte_ptr(r9), RET)?;
        program.asm.set_label(&mut again)?;
        program.mark("round", again);
        program.asm.inc(r8)?;
        msrs(program)?;
        devices(program)?;
        own_int3(program)?;
        page(program)?;
        program.asm.mov(rax, TOUR_ROUNDS)?;
        program.asm.mov(qword_ptr(rax + rdi * 8), r8)?;
        program.asm.mov(rax, TOUR_STOP)?;
        program.asm.cmp(qword_ptr(rax), 0)?;
        program.asm.je(again)?;
        stop(program)
    })
}

/// STAR gets the round, and is read back.
fn msrs(program: &mut Program) -> Assembled {
    program.asm.mov(ecx, STAR)?;
    program.asm.mov(rax, r8)?;
    program.asm.xor(edx, edx)?;
    program.here("wrmsr")?;
    program.asm.wrmsr()?;
    program.here("rdmsr")?;
    program.asm.rdmsr()
}

/// A port and an address that no device has.
fn devices(program: &mut Program) -> Assembled {
    program.asm.mov(edx, u32::from(PIO_PORT))?;
    program.asm.mov(eax, r8d)?;
    program.here("out")?;
    program.asm.out(dx, eax)?;
    program.here("in")?;
    program.asm.in_(eax, dx)?;
    program.asm.mov(rbx, MMIO_GPA)?;
    program.here("mmio-store")?;
    program.asm.mov(qword_ptr(rbx), r8)?;
    program.here("mmio-load")?;
    program.asm.mov(rax, qword_ptr(rbx))
}

fn own_int3(program: &mut Program) -> Assembled {
    program.here("int3")?;
    program.asm.int3()
}

fn page(program: &mut Program) -> Assembled {
    program.here("page-store")?;
    program.asm.mov(qword_ptr(r10), r8)?;
    program.here("page-load")?;
    program.asm.mov(rax, qword_ptr(r10))?;
    program.here("page-call")?;
    program.asm.call(r9)
}

/// The last vCPU that stops ends the VM with 0.
fn stop(program: &mut Program) -> Assembled {
    let mut last = program.asm.create_label();
    program.asm.mov(eax, 1)?;
    program.asm.mov(rbx, DONE)?;
    program.asm.lock().xadd(qword_ptr(rbx), rax)?;
    program.asm.inc(rax)?;
    program.asm.cmp(rax, rsi)?;
    program.asm.je(last)?;
    program.stop()?;
    program.asm.set_label(&mut last)?;
    program.end(0)
}

fn catch(program: &mut Program) -> Assembled {
    let mut over = program.asm.create_label();
    program.asm.jmp(over)?;
    let mut handlers = Vec::new();
    for (vector, has_error_code) in CAUGHT {
        handlers.push((vector, handler(program, vector, has_error_code)?));
    }
    program.asm.set_label(&mut over)?;
    program.load_handlers(&handlers)
}

/// Counts, and returns: to the instruction, or behind it if it was an MSR access.
fn handler(
    program: &mut Program,
    vector: u32,
    has_error_code: bool,
) -> Result<CodeLabel, iced_x86::IcedError> {
    const WRMSR: u32 = 0x300f;
    const RDMSR: u32 = 0x320f;
    let asm = &mut program.asm;
    let (mut handler, mut skip, mut done) =
        (asm.create_label(), asm.create_label(), asm.create_label());
    asm.set_label(&mut handler)?;
    if has_error_code {
        asm.add(rsp, 8)?;
    }
    asm.push(rax)?;
    asm.mov(rax, TOUR_TAKEN + u64::from(vector) * 8)?;
    asm.lock().inc(qword_ptr(rax))?;
    if vector == 13 {
        asm.mov(rax, qword_ptr(rsp + 8))?;
        asm.movzx(eax, word_ptr(rax))?;
        asm.cmp(eax, WRMSR)?;
        asm.je(skip)?;
        asm.cmp(eax, RDMSR)?;
        asm.jne(done)?;
        asm.set_label(&mut skip)?;
        asm.add(qword_ptr(rsp + 8), 2)?;
        asm.set_label(&mut done)?;
    }
    asm.pop(rax)?;
    asm.iretq()?;
    Ok(handler)
}
