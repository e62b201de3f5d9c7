//! Guests that need interrupts: controllers, a timer, and vCPUs that wait to be sent for.

use iced_x86::{IcedError, code_asm::*};

use crate::{
    Guest, abi,
    program::{Assembled, Program, count, guest},
};

/// How many ticks `ticks` waits for, and reports.
pub const TICKS: u64 = 5;
/// The byte on which `console` ends.
pub const CONSOLE_END: u8 = b'q';
/// What each vCPU but the first of `processors` reports.
pub const PROCESSOR_HERE: u64 = 0x51;

/// Vectors of the first 8259, as far as it is let through.
const TIMER_VECTOR: u32 = 0x20;
const SERIAL_VECTOR: u32 = 0x24;
const TIMER_LINE: u32 = 1 << 0;
const SERIAL_LINE: u32 = 1 << 4;

/// Where vCPUs start that are sent for, in real mode: this page, in the loader's free memory.
const TRAMPOLINE: u64 = 0x8000;
/// Where they count themselves.
const ARRIVED: u64 = 0x9000;
/// In 16 bits: `mov eax, PROCESSOR_HERE; out 0xe8, eax; xor eax, eax; out 0xec, eax; xor bx, bx;
/// mov ds, bx; lock inc word [ARRIVED]; cli; hlt; jmp` to the CLI.
const REAL_MODE: [u8; 28] = [
    0x66, 0xb8, 0x51, 0, 0, 0, 0x66, 0xe7, 0xe8, 0x66, 0x31, 0xc0, 0x66, 0xe7, 0xec, 0x31, 0xdb,
    0x8e, 0xdb, 0xf0, 0xff, 0x06, 0x00, 0x90, 0xfa, 0xf4, 0xeb, 0xfc,
];

pub(crate) const LOCAL_APIC: u64 = 0xfee0_0000;
/// The interrupt command register, whose writing sends.
const COMMAND: u32 = 0x300;
/// To all but oneself: INIT, then a start-up at the trampoline's page.
const SEND_INIT: u32 = 0xc_4500;
const SEND_START: u32 = 0xc_4600 | 0x08;

pub(crate) fn ticks(vcpus: u32) -> Guest {
    let guest = guest("ticks", vcpus, |program| {
        program.wait_for_ticks()?;
        program.report(r15)?;
        program.end(0)
    });
    with_interrupts(guest)
}

/// The same without a halt: from `wait` to `over` interrupts are on all the time.
pub(crate) fn busy_ticks(vcpus: u32) -> Guest {
    let guest = guest("busy-ticks", vcpus, |program| {
        let tick = program.tick_handler(|program| program.output(0x20, 0x20))?;
        program.take_interrupts(TIMER_VECTOR, tick, TIMER_LINE)?;
        program.start_timer()?;
        let mut wait = program.asm.create_label();
        program.asm.set_label(&mut wait)?;
        program.mark("wait", wait);
        program.asm.sti()?;
        program.asm.cmp(r15, i32::try_from(TICKS).expect("a few"))?;
        program.asm.jb(wait)?;
        program.here("over")?;
        program.report(r15)?;
        program.end(0)
    });
    with_interrupts(guest)
}

pub(crate) fn console(vcpus: u32) -> Guest {
    let guest = guest("console", vcpus, |program| {
        let echo = program.interrupt_handler(|program| {
            echo(program)?;
            program.output(0x20, 0x20)
        })?;
        program.take_interrupts(SERIAL_VECTOR, echo, SERIAL_LINE)?;
        // OUT2 lets the line's interrupt through; then one for each byte that comes.
        program.output(u32::from(abi::COM1_PORT) + 4, 0x0b)?;
        program.output(u32::from(abi::COM1_PORT) + 1, 0x01)?;
        program.print("type\n")?;
        let mut wait = program.asm.create_label();
        program.asm.set_label(&mut wait)?;
        program.asm.sti()?;
        program.asm.hlt()?;
        program.asm.jmp(wait)
    });
    with_interrupts(guest)
}

/// Sends back what has come; ends on [`CONSOLE_END`].
fn echo(program: &mut Program) -> Assembled {
    let (mut next, mut done) = (program.asm.create_label(), program.asm.create_label());
    let mut stay = program.asm.create_label();
    program.asm.set_label(&mut next)?;
    program.asm.mov(edx, u32::from(abi::COM1_PORT) + 5)?;
    program.asm.in_(al, dx)?;
    program.asm.test(al, 1)?;
    program.asm.jz(done)?;
    program.asm.mov(edx, u32::from(abi::COM1_PORT))?;
    program.asm.in_(al, dx)?;
    program.asm.out(dx, al)?;
    program.asm.cmp(al, u32::from(CONSOLE_END))?;
    program.asm.jne(stay)?;
    program.end(0)?;
    program.asm.set_label(&mut stay)?;
    program.asm.jmp(next)?;
    program.asm.set_label(&mut done)?;
    program.asm.nop()
}

pub(crate) fn processors(vcpus: u32) -> Guest {
    let guest = guest("processors", vcpus, |program| {
        program.send_for_others(rsi)?;
        program.end(0)
    });
    with_interrupts(guest)
}

/// The guest with interrupt controllers and a timer.
pub(crate) fn with_interrupts(guest: Guest) -> Guest {
    Guest {
        interrupts: true,
        ..guest
    }
}

impl Program {
    /// Waits for [`TICKS`] ticks of the 8254, by interrupt; R15 counts them.
    pub(crate) fn wait_for_ticks(&mut self) -> Assembled {
        let tick = self.tick_handler(|program| program.output(0x20, 0x20))?;
        self.take_interrupts(TIMER_VECTOR, tick, TIMER_LINE)?;
        self.start_timer()?;
        self.wait_for_some_ticks()
    }

    /// Has the 8254 tick: channel 0, both bytes, rate generator, some 100 Hz.
    pub(crate) fn start_timer(&mut self) -> Assembled {
        for (port, value) in [(0x43, 0x34), (0x40, 0x9c), (0x40, 0x2e)] {
            self.output(port, value)?;
        }
        Ok(())
    }

    /// Halts until there have been [`TICKS`] interrupts of a tick handler.
    pub(crate) fn wait_for_some_ticks(&mut self) -> Assembled {
        let mut wait = self.asm.create_label();
        self.asm.set_label(&mut wait)?;
        self.asm.sti()?;
        self.asm.hlt()?;
        self.asm.cli()?;
        self.asm.cmp(r15, i32::try_from(TICKS).expect("a few"))?;
        self.asm.jb(wait)
    }

    /// Sends for the other vCPUs, of so many in all, and waits until they have reported and halted.
    /// Uses RSI, RDI and R8 as well.
    pub(crate) fn send_for_others(&mut self, vcpus: AsmRegister64) -> Assembled {
        let code = self.data(REAL_MODE);
        self.asm.lea(r8, qword_ptr(vcpus - 1))?;
        self.asm.lea(rsi, ptr(code))?;
        self.asm.mov(rdi, TRAMPOLINE)?;
        self.asm.mov(ecx, count(REAL_MODE.len()))?;
        self.asm.rep().movsb()?;
        self.asm.mov(rbx, ARRIVED)?;
        self.asm.mov(word_ptr(rbx), 0)?;
        self.asm.mov(rbx, LOCAL_APIC)?;
        self.asm.mov(dword_ptr(rbx + COMMAND), SEND_INIT)?;
        self.asm.mov(dword_ptr(rbx + COMMAND), SEND_START)?;
        self.asm.mov(rbx, ARRIVED)?;
        let mut wait = self.asm.create_label();
        self.asm.set_label(&mut wait)?;
        self.asm.pause()?;
        self.asm.movzx(rax, word_ptr(rbx))?;
        self.asm.cmp(rax, r8)?;
        self.asm.jb(wait)
    }

    /// Writes a byte to a port.
    pub(crate) fn output(&mut self, port: u32, value: u32) -> Assembled {
        self.asm.mov(edx, port)?;
        self.asm.mov(eax, value)?;
        self.asm.out(dx, al)
    }

    /// A handler that counts in R15, from 0, and acknowledges its interrupt so. It returns with
    /// interrupts off: a second one that waits already would be counted for nobody.
    pub(crate) fn tick_handler(
        &mut self,
        acknowledge: impl FnOnce(&mut Self) -> Assembled,
    ) -> Result<CodeLabel, IcedError> {
        const SAVED_FLAGS: u32 = 4 * 8;
        const INTERRUPTS: i32 = 1 << 9;
        self.asm.xor(r15, r15)?;
        self.interrupt_handler(|program| {
            program.asm.inc(r15)?;
            program.asm.and(dword_ptr(rsp + SAVED_FLAGS), !INTERRUPTS)?;
            acknowledge(program)
        })
    }

    /// A handler around this; the code jumps over it.
    fn interrupt_handler(
        &mut self,
        body: impl FnOnce(&mut Self) -> Assembled,
    ) -> Result<CodeLabel, IcedError> {
        let (mut handler, mut over) = (self.asm.create_label(), self.asm.create_label());
        self.asm.jmp(over)?;
        self.asm.set_label(&mut handler)?;
        self.asm.push(rax)?;
        self.asm.push(rdx)?;
        body(self)?;
        self.asm.pop(rdx)?;
        self.asm.pop(rax)?;
        self.asm.iretq()?;
        self.asm.set_label(&mut over)?;
        self.asm.nop()?;
        Ok(handler)
    }

    /// Lets these lines of the first 8259 through, from vector 0x20 on, to one handler.
    fn take_interrupts(&mut self, vector: u32, handler: CodeLabel, lines: u32) -> Assembled {
        const VECTORS: u32 = 64;
        let table = self.data([0; 16 * VECTORS as usize]);
        self.asm.lea(rbx, ptr(table))?;
        self.set_gate(vector, handler)?;
        self.load_table(VECTORS)?;
        // ICW1 to ICW4: edge-triggered, cascaded on line 2, from vectors 0x20 and 0x28 on.
        let words = [(0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x01)];
        let second = [(0xa0, 0x11), (0xa1, 0x28), (0xa1, 0x02), (0xa1, 0x01)];
        let masks = [(0x21, !lines & 0xff), (0xa1, 0xff)];
        for (port, value) in words.into_iter().chain(second).chain(masks) {
            self.output(port, value)?;
        }
        Ok(())
    }
}
