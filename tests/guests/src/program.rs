//! A program under construction: an assembler with the phrases that guests share.
//!
//! Phrases use RAX, RBX, RCX and RDX as they like and leave RDI (the vCPU's index) and RSI (how
//! many there are) alone. Once [`Program::catch_faults`] has run, R15, R14 and R13 count #GP, #UD
//! and #PF, and R12 holds the last CR2.

use iced_x86::{BlockEncoderOptions, IcedError, code_asm::*};

use crate::{Guest, abi};

pub(crate) type Assembled = Result<(), IcedError>;

/// Vectors that guests catch.
const GP: u32 = 13;
const UD: u32 = 6;
const PF: u32 = 14;

pub(crate) struct Program {
    pub(crate) asm: CodeAssembler,
    data: Vec<(CodeLabel, Vec<u8>)>,
    marks: Vec<(&'static str, CodeLabel)>,
}

/// Assembles a guest. Guests are fixed programs: the tests assemble each, and none depends on
/// anything that could make it fail elsewhere.
pub(crate) fn guest(
    name: &'static str,
    vcpus: u32,
    write: impl FnOnce(&mut Program) -> Assembled,
) -> Guest {
    Program::assemble(name, vcpus, abi::LOAD, write).expect("the tests assemble every guest")
}

/// How many there are, as an operand.
pub(crate) fn count(items: usize) -> u32 {
    u32::try_from(items).expect("guests are small")
}

impl Program {
    /// Assembles a program for this address.
    pub(crate) fn assemble(
        name: &'static str,
        vcpus: u32,
        load: u64,
        write: impl FnOnce(&mut Self) -> Assembled,
    ) -> Result<Guest, IcedError> {
        let mut program = Self {
            asm: CodeAssembler::new(64)?,
            data: Vec::new(),
            marks: Vec::new(),
        };
        write(&mut program)?;
        let end = program.place_data()?;
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let result = program.asm.assemble_options(load, options)?;
        let code = result.label_ip(&end)? - load;
        let marks = program.marks.iter().map(|(name, label)| {
            let address = result.label_ip(label)?;
            Ok((*name, address))
        });
        Ok(Guest {
            marks: marks.collect::<Result<_, IcedError>>()?,
            name,
            image: result.inner.code_buffer,
            code: usize::try_from(code).expect("an offset into the image"),
            load,
            entry: load,
            vcpus,
            interrupts: false,
        })
    }

    /// Puts the data behind the code; the label is where it begins.
    fn place_data(&mut self) -> Result<CodeLabel, IcedError> {
        let mut end = self.asm.create_label();
        self.asm.set_label(&mut end)?;
        self.asm.db(&[0])?;
        for (mut label, bytes) in std::mem::take(&mut self.data) {
            self.asm.set_label(&mut label)?;
            self.asm.db(&bytes)?;
        }
        Ok(end)
    }

    /// Bytes behind the code.
    pub(crate) fn data(&mut self, bytes: impl Into<Vec<u8>>) -> CodeLabel {
        let label = self.asm.create_label();
        self.data.push((label, bytes.into()));
        label
    }

    /// Names the address of a label.
    pub(crate) fn mark(&mut self, name: &'static str, label: CodeLabel) {
        self.marks.push((name, label));
    }

    /// Names the address of the next instruction.
    pub(crate) fn here(&mut self, name: &'static str) -> Assembled {
        let mut label = self.asm.create_label();
        self.asm.set_label(&mut label)?;
        self.mark(name, label);
        Ok(())
    }

    /// Goes on in 64-bit user mode, with the first 4 MiB open to it, and every port.
    pub(crate) fn drop_to_user(&mut self) -> Assembled {
        /// The loader's tables: PML4, PDPT, and the first two entries of the page directory.
        const ENTRIES: [u64; 4] = [0x2000, 0x3000, 0x4000, 0x4008];
        const USER: u32 = 1 << 2;
        const CODE: u32 = 0x1b;
        const STACK: u32 = 0x23;
        /// IOPL 3.
        const FLAGS: u32 = 0x3002;
        /// Null, 64-bit code, data, and both for user mode (SDM vol. 3, section 3.4.5).
        const DESCRIPTORS: [u64; 5] = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00af_fb00_0000_ffff,
            0x00cf_f300_0000_ffff,
        ];
        let table: Vec<u8> = DESCRIPTORS.into_iter().flat_map(u64::to_le_bytes).collect();
        let limit = count(table.len()) - 1;
        let gdt = self.data(table);
        for entry in ENTRIES {
            self.asm.mov(rbx, entry)?;
            self.asm.or(qword_ptr(rbx), USER.cast_signed())?;
        }
        self.asm.mov(rax, cr3)?;
        self.asm.mov(cr3, rax)?;
        let mut user = self.asm.create_label();
        self.asm.lea(rbx, ptr(gdt))?;
        self.asm.sub(rsp, 16)?;
        self.asm.mov(word_ptr(rsp), limit)?;
        self.asm.mov(qword_ptr(rsp + 2), rbx)?;
        self.asm.lgdt(ptr(rsp))?;
        self.asm.add(rsp, 16)?;
        self.asm.mov(rcx, rsp)?;
        self.asm.lea(rax, ptr(user))?;
        self.asm.push(STACK.cast_signed())?;
        self.asm.push(rcx)?;
        self.asm.push(FLAGS.cast_signed())?;
        self.asm.push(CODE.cast_signed())?;
        self.asm.push(rax)?;
        self.asm.iretq()?;
        self.asm.set_label(&mut user)?;
        self.asm.nop()
    }

    /// Halts every vCPU from this index on.
    pub(crate) fn only_first(&mut self, vcpus: u32) -> Assembled {
        let mut mine = self.asm.create_label();
        self.asm.cmp(edi, vcpus)?;
        self.asm.jb(mine)?;
        self.stop()?;
        self.asm.set_label(&mut mine)?;
        self.asm.nop()
    }

    /// Halts for good.
    pub(crate) fn stop(&mut self) -> Assembled {
        let mut again = self.asm.create_label();
        self.asm.set_label(&mut again)?;
        self.asm.cli()?;
        self.asm.hlt()?;
        self.asm.jmp(again)
    }

    /// Ends the VM.
    pub(crate) fn end(&mut self, status: u32) -> Assembled {
        self.asm.mov(eax, status)?;
        self.asm.out(u32::from(abi::END_PORT), eax)?;
        self.stop()
    }

    /// Prints on the serial line.
    pub(crate) fn print(&mut self, line: &str) -> Assembled {
        let text = self.data(line);
        let mut next = self.asm.create_label();
        self.asm.lea(rbx, ptr(text))?;
        self.asm.mov(ecx, count(line.len()))?;
        self.asm.mov(edx, u32::from(abi::COM1_PORT))?;
        self.asm.set_label(&mut next)?;
        self.asm.mov(al, byte_ptr(rbx))?;
        self.asm.out(dx, al)?;
        self.asm.inc(rbx)?;
        self.asm.dec(ecx)?;
        self.asm.jnz(next)
    }

    /// Reports a register, by way of RAX.
    pub(crate) fn report(&mut self, value: AsmRegister64) -> Assembled {
        if value != rax {
            self.asm.mov(rax, value)?;
        }
        self.asm.out(u32::from(abi::REPORT_LOW_PORT), eax)?;
        self.asm.shr(rax, 32)?;
        self.asm.out(u32::from(abi::REPORT_HIGH_PORT), eax)
    }

    /// Runs about this many instructions.
    pub(crate) fn work(&mut self, instructions: u32) -> Assembled {
        let mut again = self.asm.create_label();
        self.asm.mov(ecx, instructions / 2)?;
        self.asm.set_label(&mut again)?;
        self.asm.dec(ecx)?;
        self.asm.jnz(again)
    }

    pub(crate) fn write_msr(&mut self, msr: u32, value: u64) -> Assembled {
        self.asm.mov(rax, value)?;
        self.asm.mov(rdx, rax)?;
        self.asm.shr(rdx, 32)?;
        self.asm.mov(ecx, msr)?;
        self.asm.wrmsr()
    }

    /// Reads an MSR into RAX; 0 if that faults.
    pub(crate) fn read_msr(&mut self, msr: u32) -> Assembled {
        self.asm.mov(ecx, msr)?;
        self.read_msr_of_ecx()
    }

    /// Reads the MSR that ECX names into RAX; 0 if that faults.
    pub(crate) fn read_msr_of_ecx(&mut self) -> Assembled {
        self.asm.xor(eax, eax)?;
        self.asm.xor(edx, edx)?;
        self.asm.rdmsr()?;
        self.asm.shl(rdx, 32)?;
        self.asm.or(rax, rdx)
    }

    /// Counts #GP, #UD and #PF from here on, and skips the two bytes of the instruction that
    /// raised one.
    pub(crate) fn catch_faults(&mut self) -> Assembled {
        let handlers = [
            (GP, self.handler(r15, true)?),
            (UD, self.handler(r14, false)?),
            (PF, self.handler(r13, true)?),
        ];
        self.load_handlers(&handlers)
    }

    /// From here on, these vectors go to these handlers. A vCPU has the table of the last who has
    /// come here.
    pub(crate) fn load_handlers(&mut self, handlers: &[(u32, CodeLabel)]) -> Assembled {
        let idt = self.data([0; 32 * 16]);
        self.asm.lea(rbx, ptr(idt))?;
        for (vector, handler) in handlers {
            self.set_gate(*vector, *handler)?;
        }
        self.load_table(32)
    }

    /// Loads the interrupt table at RBX, of so many gates.
    pub(crate) fn load_table(&mut self, gates: u32) -> Assembled {
        self.asm.sub(rsp, 16)?;
        self.asm.mov(word_ptr(rsp), gates * 16 - 1)?;
        self.asm.mov(qword_ptr(rsp + 2), rbx)?;
        self.asm.lidt(ptr(rsp))?;
        self.asm.add(rsp, 16)
    }

    /// A handler that counts in `counter` and returns two bytes behind; the code jumps over it.
    fn handler(
        &mut self,
        counter: AsmRegister64,
        has_error_code: bool,
    ) -> Result<CodeLabel, IcedError> {
        let (mut handler, mut over) = (self.asm.create_label(), self.asm.create_label());
        self.asm.xor(counter, counter)?;
        self.asm.jmp(over)?;
        self.asm.set_label(&mut handler)?;
        self.asm.inc(counter)?;
        if counter == r13 {
            self.asm.mov(r12, cr2)?;
        }
        if has_error_code {
            self.asm.add(rsp, 8)?;
        }
        self.asm.add(qword_ptr(rsp), 2)?;
        self.asm.iretq()?;
        self.asm.set_label(&mut over)?;
        self.asm.nop()?;
        Ok(handler)
    }

    /// Fills an interrupt gate of the table at RBX (SDM vol. 3, section 7.14.1); the image lies
    /// below 4 GiB, so the upper half of the address stays zero.
    pub(crate) fn set_gate(&mut self, vector: u32, handler: CodeLabel) -> Assembled {
        const PRESENT_INTERRUPT_GATE: u32 = 0x8e00;
        let gate = vector * 16;
        self.asm.lea(rax, ptr(handler))?;
        self.asm.mov(word_ptr(rbx + gate), ax)?;
        self.asm
            .mov(word_ptr(rbx + gate + 2), u32::from(abi::CODE_SELECTOR))?;
        self.asm
            .mov(word_ptr(rbx + gate + 4), PRESENT_INTERRUPT_GATE)?;
        self.asm.shr(eax, 16)?;
        self.asm.mov(word_ptr(rbx + gate + 6), ax)
    }
}
