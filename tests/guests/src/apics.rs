//! A guest that takes its interrupts by the APICs alone: the 8254 through the IOAPIC, and the local
//! APIC's own timer.

use iced_x86::code_asm::*;

use crate::{
    Guest,
    interrupts::{LOCAL_APIC, with_interrupts},
    program::{Assembled, Program, guest},
};

const TIMER_VECTOR: u32 = 0x30;
const LOCAL_VECTOR: u32 = 0x31;
const VECTORS: u32 = 64;

/// The local APIC's registers (SDM vol. 3, section 12.4.1): end of interrupt, spurious vector,
/// its timer's vector, first count and divisor.
const END: u32 = 0xb0;
const SPURIOUS: u32 = 0xf0;
const LOCAL_TIMER: u32 = 0x320;
const FIRST_COUNT: u32 = 0x380;
const DIVISOR: u32 = 0x3e0;
const ENABLED: u32 = 0x1ff;
const PERIODIC: u32 = 1 << 17;
const MASKED: u32 = 1 << 16;
const BY_ONE: u32 = 0xb;
/// A millisecond: KVM's local APICs count nanoseconds.
const COUNTS: u32 = 1_000_000;

/// The IOAPIC: which register, and its value; the first input's vector and destination. The MP table says
/// that ISA interrupt 0, the 8254's, is that input.
const IO_APIC: u64 = 0xfec0_0000;
const VALUE: u32 = 0x10;
const FIRST_INPUT: u32 = 0x10;

/// Reports how many ticks came of each timer: [`TICKS`](crate::TICKS).
pub(crate) fn apics(vcpus: u32) -> Guest {
    let guest = guest("apics", vcpus, |program| {
        // Nothing comes by the 8259s.
        program.output(0x21, 0xff)?;
        program.output(0xa1, 0xff)?;
        program.asm.mov(r14, LOCAL_APIC)?;
        program.asm.mov(r13, IO_APIC)?;
        program.count_ticks_of([TIMER_VECTOR, LOCAL_VECTOR])?;
        program.asm.mov(dword_ptr(r14 + SPURIOUS), ENABLED)?;
        program.set_input(FIRST_INPUT + 1, 0)?;
        program.set_input(FIRST_INPUT, TIMER_VECTOR)?;
        program.start_timer()?;
        program.wait_for_some_ticks()?;
        program.set_input(FIRST_INPUT, MASKED)?;
        program.report(r15)?;
        program.asm.xor(r15, r15)?;
        program.asm.mov(dword_ptr(r14 + DIVISOR), BY_ONE)?;
        program
            .asm
            .mov(dword_ptr(r14 + LOCAL_TIMER), LOCAL_VECTOR | PERIODIC)?;
        program.asm.mov(dword_ptr(r14 + FIRST_COUNT), COUNTS)?;
        program.wait_for_some_ticks()?;
        program.asm.mov(dword_ptr(r14 + LOCAL_TIMER), MASKED)?;
        program.report(r15)?;
        program.end(0)
    });
    with_interrupts(guest)
}

impl Program {
    /// R15 counts these interrupts; R14 is the local APIC.
    fn count_ticks_of(&mut self, vectors: [u32; 2]) -> Assembled {
        let tick = self.tick_handler(|program| program.asm.mov(dword_ptr(r14 + END), 0))?;
        let table = self.data([0; 16 * VECTORS as usize]);
        self.asm.lea(rbx, ptr(table))?;
        for vector in vectors {
            self.set_gate(vector, tick)?;
        }
        self.load_table(VECTORS)
    }

    /// Writes a register of the IOAPIC, which R13 is.
    fn set_input(&mut self, register: u32, value: u32) -> Assembled {
        self.asm.mov(dword_ptr(r13), register)?;
        self.asm.mov(dword_ptr(r13 + VALUE), value)
    }
}
