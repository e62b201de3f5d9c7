//! Guests that end in their own way, or not at all.

use iced_x86::code_asm::*;

use crate::{Guest, abi, program::guest};

pub(crate) fn halt(vcpus: u32) -> Guest {
    guest("halt", vcpus, |program| program.stop())
}

/// Where vCPU n of `spin` counts its rounds: eight bytes each from here on.
pub const SPIN_COUNTERS: u64 = 0x20_0000;

pub(crate) fn spin(vcpus: u32) -> Guest {
    guest("spin", vcpus, |program| {
        let mut again = program.asm.create_label();
        program.asm.mov(rbx, SPIN_COUNTERS)?;
        program.asm.set_label(&mut again)?;
        program.mark("loop", again);
        program.asm.inc(qword_ptr(rbx + rdi * 8))?;
        program.asm.pause()?;
        program.asm.jmp(again)
    })
}

pub(crate) fn reset(vcpus: u32) -> Guest {
    guest("reset", vcpus, |program| {
        program.only_first(1)?;
        let boots = program.data([0; 8]);
        program.asm.inc(qword_ptr(boots))?;
        program.asm.mov(rax, qword_ptr(boots))?;
        program.report(rax)?;
        program.asm.mov(eax, u32::from(abi::RESET_COMMAND))?;
        program.asm.out(u32::from(abi::RESET_PORT), al)?;
        program.stop()
    })
}

pub(crate) fn triple_fault(vcpus: u32) -> Guest {
    guest("triple-fault", vcpus, |program| {
        program.only_first(1)?;
        program.asm.push(0)?;
        program.asm.push(0)?;
        program.asm.lidt(ptr(rsp))?;
        program.asm.ud2()
    })
}

/// The first entry of the loader's top table leads where no memory is, with bits set that are
/// reserved; then the vCPU forgets what it knew of the tables.
pub(crate) fn lost_tables(vcpus: u32) -> Guest {
    const TOP: u64 = 0x2000;
    const NOWHERE: u64 = 0x000f_ffff_ffff_f003;
    guest("lost-tables", vcpus, |program| {
        program.only_first(1)?;
        program.asm.mov(eax, 1)?;
        program.report(rax)?;
        program.asm.mov(rbx, TOP)?;
        program.asm.mov(rax, NOWHERE)?;
        program.asm.mov(qword_ptr(rbx), rax)?;
        program.asm.mov(rax, cr3)?;
        program.asm.mov(cr3, rax)?;
        program.end(0)
    })
}

pub(crate) fn unemulatable(vcpus: u32) -> Guest {
    guest("unemulatable", vcpus, |program| {
        program.only_first(1)?;
        program.asm.popcnt(rax, rbx)?;
        program.end(0)
    })
}
