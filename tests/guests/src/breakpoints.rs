//! Guests with code to break at, and with breakpoints of their own.

use iced_x86::code_asm::*;

use crate::{
    Guest, MMIO_GPA,
    program::{Program, guest},
};

/// How many INT3s `int3` runs.
pub const OWN_INT3S: u32 = 3;

/// How often each vCPU of `calls` calls.
pub const CALLS: u32 = 100;

/// How often each vCPU of `fills` calls.
pub const FILLS: u32 = 20;

/// Bytes of one fill: more turns than KVM's emulator takes in one go.
const FILLED: u32 = 3000;

/// Where vCPU 0 fills; the others behind it.
const FILL: i32 = 0x30_0000;

/// How often `hole` calls at [`MMIO_GPA`].
pub const HOLE_CALLS: u32 = 2;

/// How often `debug-registers` calls in each of its two rounds.
pub const WATCHED_CALLS: u32 = 3;

const DB: u32 = 1;
const BP: u32 = 3;

/// R15 counts #BP; R14 counts those that pushed the address behind the INT3, which is in R13.
pub(crate) fn own(vcpus: u32) -> Guest {
    guest("int3", vcpus, |program| {
        program.only_first(1)?;
        catch_breakpoints(program)?;
        let (mut behind, mut again) = (program.asm.create_label(), program.asm.create_label());
        program.asm.lea(r13, ptr(behind))?;
        program.asm.mov(r8d, OWN_INT3S)?;
        program.asm.set_label(&mut again)?;
        program.mark("int3", again);
        program.asm.int3()?;
        program.asm.set_label(&mut behind)?;
        program.asm.dec(r8d)?;
        program.asm.jnz(again)?;
        program.report(r15)?;
        program.report(r14)?;
        program.end(0)
    })
}

/// Counts #BP, and goes on where it was pushed from.
fn catch_breakpoints(program: &mut Program) -> Result<(), iced_x86::IcedError> {
    let asm = &mut program.asm;
    let (mut handler, mut over) = (asm.create_label(), asm.create_label());
    asm.xor(r15, r15)?;
    asm.xor(r14, r14)?;
    asm.jmp(over)?;
    asm.set_label(&mut handler)?;
    asm.inc(r15)?;
    let mut elsewhere = asm.create_label();
    asm.cmp(qword_ptr(rsp), r13)?;
    asm.jne(elsewhere)?;
    asm.inc(r14)?;
    asm.set_label(&mut elsewhere)?;
    asm.mov(qword_ptr(rsp), r13)?;
    asm.iretq()?;
    asm.set_label(&mut over)?;
    asm.nop()?;
    program.load_handlers(&[(BP, handler)])
}

/// `function` counts, and returns.
pub(crate) fn calls(vcpus: u32) -> Guest {
    counted("calls", vcpus, CALLS, |_| Ok(()))
}

/// `function` fills memory of the vCPU's own by one instruction in many turns, counts, and
/// returns.
pub(crate) fn fills(vcpus: u32) -> Guest {
    counted("fills", vcpus, FILLS, |asm| asm.rep().stosb())
}

/// Every vCPU calls `function` so often, which begins with this, counts, and returns.
fn counted(
    name: &'static str,
    vcpus: u32,
    calls: u32,
    begin: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>,
) -> Guest {
    guest(name, vcpus, |program| {
        let (counter, done) = (program.data([0; 8]), program.data([0; 8]));
        let (mut function, mut start) = (program.asm.create_label(), program.asm.create_label());
        program.asm.jmp(start)?;
        program.asm.set_label(&mut function)?;
        program.mark("function", function);
        begin(&mut program.asm)?;
        program.asm.lock().inc(qword_ptr(counter))?;
        program.asm.ret()?;
        program.asm.set_label(&mut start)?;
        program.asm.mov(r8d, calls)?;
        program.asm.mov(r9d, edi)?;
        let (mut again, mut wait) = (program.asm.create_label(), program.asm.create_label());
        program.asm.set_label(&mut again)?;
        program.asm.mov(rdi, r9)?;
        program.asm.shl(rdi, 12)?;
        program.asm.add(rdi, FILL)?;
        program.asm.mov(ecx, FILLED)?;
        program.asm.call(function)?;
        program.asm.dec(r8d)?;
        program.asm.jnz(again)?;
        program.asm.lock().inc(qword_ptr(done))?;
        program.asm.mov(edi, r9d)?;
        program.only_first(1)?;
        program.asm.set_label(&mut wait)?;
        program.asm.pause()?;
        program.asm.cmp(qword_ptr(done), rsi)?;
        program.asm.jne(wait)?;
        program.asm.mov(rax, qword_ptr(counter))?;
        program.report(rax)?;
        program.end(0)
    })
}

/// Has its own debug register stop at `function`, calls it in two rounds with `between` in the
/// middle, and counts its #DBs in R15. The handler switches the register off, as it does not rely
/// on RF.
pub(crate) fn debug_registers(vcpus: u32) -> Guest {
    /// DR7: L0, and the bit that is fixed.
    const ON: u64 = 0x401;
    const OFF: u64 = 0x400;
    guest("debug-registers", vcpus, |program| {
        program.only_first(1)?;
        let (mut handler, mut function) = (program.asm.create_label(), program.asm.create_label());
        let mut start = program.asm.create_label();
        program.asm.xor(r15, r15)?;
        program.asm.mov(r13, ON)?;
        program.asm.mov(r14, OFF)?;
        program.asm.jmp(start)?;
        program.asm.set_label(&mut handler)?;
        program.asm.inc(r15)?;
        program.asm.mov(dr7, r14)?;
        program.asm.iretq()?;
        program.asm.set_label(&mut function)?;
        program.mark("function", function);
        program.asm.nop()?;
        program.asm.ret()?;
        program.asm.set_label(&mut start)?;
        program.load_handlers(&[(DB, handler)])?;
        program.asm.lea(rax, ptr(function))?;
        program.asm.mov(dr0, rax)?;
        call_watched(program, function)?;
        program.here("between")?;
        program.asm.nop()?;
        call_watched(program, function)?;
        program.asm.mov(rax, dr0)?;
        program.report(rax)?;
        program.end(0)
    })
}

/// Calls the function with the debug register on each time, and reports the #DBs so far.
fn call_watched(program: &mut Program, function: CodeLabel) -> Result<(), iced_x86::IcedError> {
    let mut again = program.asm.create_label();
    program.asm.mov(r8d, WATCHED_CALLS)?;
    program.asm.set_label(&mut again)?;
    program.asm.mov(dr7, r13)?;
    program.asm.call(function)?;
    program.asm.dec(r8d)?;
    program.asm.jnz(again)?;
    program.report(r15)
}

/// Calls code where no RAM is, which only its introspector can have return.
pub(crate) fn hole(vcpus: u32) -> Guest {
    guest("hole", vcpus, |program| {
        program.only_first(1)?;
        program.asm.xor(r15, r15)?;
        program.report(r15)?;
        program.asm.mov(rbx, MMIO_GPA)?;
        for _ in 0..HOLE_CALLS {
            program.asm.call(rbx)?;
            program.asm.inc(r15)?;
        }
        program.report(r15)?;
        program.end(0)
    })
}
