//! Guests that write model-specific registers.

use iced_x86::code_asm::*;

use crate::{
    Guest,
    program::{Assembled, Program, guest},
};

/// What `msr-attack` sets LSTAR to first: an address as in the text of a Linux kernel.
pub const KERNEL_ENTRY: u64 = 0xffff_ffff_81e0_0080;
/// What `msr-attack` overwrites LSTAR with: an address as in a module's memory.
pub const ATTACKER_ENTRY: u64 = 0xffff_ffff_c0de_0000;

/// The first value of STAR in `msr-verdicts`.
pub const STAR_FIRST: u64 = 0x0023_0010_0000_1111;
/// The second value of STAR in `msr-verdicts`.
pub const STAR_SECOND: u64 = 0x0023_0010_0000_2222;
/// RAX before the RDMSR of `msr-verdicts`.
pub const RAX_BEFORE: u64 = 0xaaaa_aaaa_1234_5678;
/// RDX before the RDMSR of `msr-verdicts`.
pub const RDX_BEFORE: u64 = 0xdddd_dddd_8765_4321;

/// Any number but 0 written here (8 bytes) opens the gate of [`relay`].
pub const RELAY_GATE: u64 = 0x20_0000;

/// How often each vCPU of `msr-storm` writes, unless told otherwise.
pub const STORM_WRITES: u32 = 1000;

const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;

/// Pins LSTAR, works, attacks, and reports LSTAR and the number of #GP.
pub(crate) fn attack(vcpus: u32) -> Guest {
    guest("msr-attack", vcpus, |program| {
        program.only_first(1)?;
        program.catch_faults()?;
        program.print("msr-attack: the kernel sets LSTAR\n")?;
        program.write_msr(LSTAR, KERNEL_ENTRY)?;
        program.work(4000)?;
        program.print("msr-attack: somebody else sets LSTAR\n")?;
        write_and_report(program, ATTACKER_ENTRY)?;
        program.end(0)
    })
}

fn write_and_report(program: &mut Program, value: u64) -> Assembled {
    program.write_msr(LSTAR, value)?;
    program.read_msr(LSTAR)?;
    program.report(rax)?;
    program.report(r15)
}

/// The attack on vCPU 1, after vCPU 0 has set LSTAR; the flag says how far they are.
pub(crate) fn attack_2(vcpus: u32) -> Guest {
    guest("msr-attack-2", vcpus, |program| {
        program.only_first(2)?;
        let flag = program.data([0; 8]);
        let mut attacker = program.asm.create_label();
        program.asm.test(edi, edi)?;
        program.asm.jnz(attacker)?;
        program.write_msr(LSTAR, KERNEL_ENTRY)?;
        program.asm.mov(dword_ptr(flag), 1)?;
        wait_for(program, flag, 2)?;
        program.end(0)?;

        program.asm.set_label(&mut attacker)?;
        program.catch_faults()?;
        wait_for(program, flag, 1)?;
        write_and_report(program, ATTACKER_ENTRY)?;
        program.asm.mov(dword_ptr(flag), 2)?;
        program.stop()
    })
}

fn wait_for(program: &mut Program, flag: CodeLabel, value: i32) -> Assembled {
    let mut again = program.asm.create_label();
    program.asm.set_label(&mut again)?;
    program.asm.pause()?;
    program.asm.cmp(dword_ptr(flag), value)?;
    program.asm.jne(again)
}

/// Every vCPU writes STAR `writes` times, counting down in its low half; vCPU 0 ends the guest
/// when all are done.
pub fn storm(vcpus: u32, writes: u32) -> Guest {
    guest("msr-storm", vcpus, |program| {
        count_down(program, writes)?;
        end_when_all_are_done(program)
    })
}

/// Two storms: when all vCPUs have written as often as the first says, they wait until [`RELAY_GATE`]
/// is open.
pub fn relay(vcpus: u32, [first, second]: [u32; 2]) -> Guest {
    guest("msr-relay", vcpus, |program| {
        let mut closed = program.asm.create_label();
        count_down(program, first)?;
        program.asm.mov(rbx, RELAY_GATE)?;
        program.asm.set_label(&mut closed)?;
        program.asm.pause()?;
        program.asm.cmp(qword_ptr(rbx), 0)?;
        program.asm.je(closed)?;
        count_down(program, second)?;
        end_when_all_are_done(program)
    })
}

/// Writes STAR so often, with the number of writes that are left in its low half.
fn count_down(program: &mut Program, writes: u32) -> Assembled {
    let mut again = program.asm.create_label();
    program.asm.mov(ebx, writes)?;
    program.asm.mov(ecx, STAR)?;
    program.asm.mov(edx, 0x0023_0010)?;
    program.asm.set_label(&mut again)?;
    program.asm.mov(eax, ebx)?;
    program.asm.wrmsr()?;
    program.asm.dec(ebx)?;
    program.asm.jnz(again)
}

fn end_when_all_are_done(program: &mut Program) -> Assembled {
    let done = program.data([0; 8]);
    program.asm.lock().inc(dword_ptr(done))?;
    program.only_first(1)?;
    wait_for_all(program, done)?;
    program.end(0)
}

fn wait_for_all(program: &mut Program, done: CodeLabel) -> Assembled {
    let mut again = program.asm.create_label();
    program.asm.set_label(&mut again)?;
    program.asm.pause()?;
    program.asm.cmp(dword_ptr(done), esi)?;
    program.asm.jne(again)
}

/// Two writes and a read on which a test tries verdicts; reports all that they can change.
pub(crate) fn verdicts(vcpus: u32) -> Guest {
    guest("msr-verdicts", vcpus, |program| {
        program.only_first(1)?;
        program.catch_faults()?;
        program.write_msr(STAR, STAR_FIRST)?;
        program.write_msr(STAR, STAR_SECOND)?;
        program.asm.mov(ecx, STAR)?;
        program.asm.mov(rax, RAX_BEFORE)?;
        program.asm.mov(rdx, RDX_BEFORE)?;
        program.asm.rdmsr()?;
        program.asm.mov(r9, rdx)?;
        for value in [rax, r9, r15, r14, r13, r12] {
            program.report(value)?;
        }
        program.end(0)
    })
}
