//! Kernels of our own, for the ways in which a machine starts one: a vmlinux that PVH enters, and a
//! bzImage that the 64-bit boot protocol enters. Both have the same program in them, which looks at
//! what it was told from inside, and reports it. What each tells is in [`Told`].

mod bzimage;
mod vmlinux;

use iced_x86::{Code, Instruction, code_asm::*};

use crate::{
    abi,
    program::{Assembled, Program, count},
};

/// How a kernel of ours ends, after it has wiped out what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By the port, with 0.
    Finished,
    /// By a reset, through the keyboard controller.
    Reset,
    /// By a reset, through the reset control register.
    ResetControl,
    /// By an exception without an interrupt table.
    TripleFault,
}

/// What a kernel of ours reports, in this order; and it prints its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How often it has run in this memory, this time included.
    pub boots: u64,
    /// The magic number of what it was handed.
    pub magic: u64,
    /// The memory map: start, size and kind. How many there are comes first.
    pub ranges: Vec<(u64, u64, u64)>,
    /// The bytes of its initramfs, how many and their sum; both 0 without one.
    pub initrd: (u64, u64),
    /// The processors in the MP table that can be used.
    pub processors: u64,
    /// The ticks of the timer that it has waited for: [`TICKS`](crate::TICKS). The other processors
    /// are sent for after that; each reports [`PROCESSOR_HERE`](crate::PROCESSOR_HERE).
    pub ticks: u64,
}

/// The magic number of PVH's start info.
pub const START_INFO_MAGIC: u64 = 0x336e_c578;
/// The magic number in a zero page: `HdrS`.
pub const ZERO_PAGE_MAGIC: u64 = 0x5372_6448;

/// The reset control register, and the bit that resets.
const RESET_CONTROL: u16 = 0xcf9;
const RESET_CPU: u32 = 1 << 2;
/// Where the MP table's pointer is.
const MP_POINTER: u32 = 0xf_0000;
const MP_MAGIC: u32 = u32::from_le_bytes(*b"_MP_");
const STACK: usize = 0x1000;
/// Null, 64-bit code, data (SDM vol. 3, section 3.4.5).
const DESCRIPTORS: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
const DATA_SELECTOR: u32 = 0x10;

impl Told {
    /// What these reports of one boot say; none if they are no boot's, or more than one.
    pub fn read(reports: &[u64]) -> Option<Self> {
        let (&[boots, magic, ranges], rest) = reports.split_first_chunk::<3>()?;
        let entries = rest.get(..usize::try_from(ranges).ok()?.checked_mul(3)?)?;
        let &[size, sum, processors, ticks] = rest.get(entries.len()..)? else {
            return None;
        };
        let ranges = entries
            .chunks_exact(3)
            .map(|range| (range[0], range[1], range[2]));
        Some(Self {
            boots,
            magic,
            ranges: ranges.collect(),
            initrd: (size, sum),
            processors,
            ticks,
        })
    }
}

/// A vmlinux: an ELF file with a PVH entry.
pub fn vmlinux(ending: Ending) -> Vec<u8> {
    vmlinux::file(ending).expect("the tests assemble every kernel")
}

/// A bzImage.
pub fn bzimage(ending: Ending) -> Vec<u8> {
    bzimage::file(ending).expect("the tests assemble every kernel")
}

impl Program {
    /// A stack, and segments as the loader of flat images has them, whatever there is now.
    fn begin(&mut self) -> Assembled {
        let stack = self.data([0; STACK]);
        let table: Vec<u8> = DESCRIPTORS.into_iter().flat_map(u64::to_le_bytes).collect();
        let limit = count(table.len()) - 1;
        let gdt = self.data(table);
        self.asm.lea(rsp, ptr(stack))?;
        self.asm.add(rsp, i32::try_from(STACK).expect("a page"))?;
        self.asm.lea(rbx, ptr(gdt))?;
        self.asm.sub(rsp, 16)?;
        self.asm.mov(word_ptr(rsp), limit)?;
        self.asm.mov(qword_ptr(rsp + 2), rbx)?;
        self.asm.lgdt(ptr(rsp))?;
        self.asm.add(rsp, 16)?;
        self.use_segments(abi::CODE_SELECTOR.into(), DATA_SELECTOR)
    }

    /// Loads all segment registers.
    fn use_segments(&mut self, code: u32, data: u32) -> Assembled {
        let mut there = self.asm.create_label();
        self.asm.lea(rax, ptr(there))?;
        self.asm.push(code.cast_signed())?;
        self.asm.push(rax)?;
        self.asm.add_instruction(Instruction::with(Code::Retfq))?;
        self.asm.set_label(&mut there)?;
        self.asm.mov(eax, data)?;
        self.asm.mov(ds, eax)?;
        self.asm.mov(es, eax)?;
        self.asm.mov(ss, eax)
    }

    /// All from what was told to the end. R12 points to what was handed over; R8, R9 and R10 are the
    /// memory map, its entries and the size of one; R11 is the command line; R14 and R15 are the
    /// initramfs and its size.
    fn run_kernel(&mut self, ending: Ending) -> Assembled {
        self.report_ranges()?;
        self.report_initrd()?;
        self.print_command_line()?;
        self.wipe()?;
        self.count_processors()?;
        self.report(r13)?;
        self.wait_for_ticks()?;
        self.report(r15)?;
        self.send_if_there_are_any()?;
        match ending {
            Ending::Finished => self.end(0),
            Ending::Reset => {
                self.output(abi::RESET_PORT.into(), abi::RESET_COMMAND.into())?;
                self.stop()
            }
            Ending::ResetControl => {
                self.output(RESET_CONTROL.into(), RESET_CPU)?;
                self.stop()
            }
            Ending::TripleFault => {
                self.asm.push(0)?;
                self.asm.push(0)?;
                self.asm.lidt(ptr(rsp))?;
                self.asm.ud2()
            }
        }
    }

    /// Nobody is waited for where no processor was found, which the report has told.
    fn send_if_there_are_any(&mut self) -> Assembled {
        let mut nobody = self.asm.create_label();
        self.asm.test(r13, r13)?;
        self.asm.jz(nobody)?;
        self.send_for_others(r13)?;
        self.asm.set_label(&mut nobody)?;
        self.asm.nop()
    }

    /// How often it has run, and the magic number at this distance behind R12.
    fn report_start(&mut self, magic: i32) -> Assembled {
        let boots = self.data([0; 8]);
        self.asm.inc(qword_ptr(boots))?;
        self.asm.mov(rax, qword_ptr(boots))?;
        self.report(rax)?;
        self.asm.mov(eax, dword_ptr(r12 + magic))?;
        self.report(rax)
    }

    fn report_ranges(&mut self) -> Assembled {
        let mut next = self.asm.create_label();
        self.report(r9)?;
        self.asm.set_label(&mut next)?;
        self.asm.mov(rax, qword_ptr(r8))?;
        self.report(rax)?;
        self.asm.mov(rax, qword_ptr(r8 + 8))?;
        self.report(rax)?;
        self.asm.mov(eax, dword_ptr(r8 + 16))?;
        self.report(rax)?;
        self.asm.add(r8, r10)?;
        self.asm.dec(r9)?;
        self.asm.jnz(next)
    }

    fn report_initrd(&mut self) -> Assembled {
        let (mut next, mut done) = (self.asm.create_label(), self.asm.create_label());
        self.report(r15)?;
        self.asm.xor(r13d, r13d)?;
        self.asm.mov(rbx, r14)?;
        self.asm.mov(rcx, r15)?;
        self.asm.jrcxz(done)?;
        self.asm.set_label(&mut next)?;
        self.asm.movzx(eax, byte_ptr(rbx))?;
        self.asm.add(r13, rax)?;
        self.asm.inc(rbx)?;
        self.asm.dec(rcx)?;
        self.asm.jnz(next)?;
        self.asm.set_label(&mut done)?;
        self.report(r13)
    }

    fn print_command_line(&mut self) -> Assembled {
        let (mut next, mut done) = (self.asm.create_label(), self.asm.create_label());
        self.asm.mov(rbx, r11)?;
        self.asm.mov(edx, u32::from(abi::COM1_PORT))?;
        self.asm.set_label(&mut next)?;
        self.asm.mov(al, byte_ptr(rbx))?;
        self.asm.test(al, al)?;
        self.asm.jz(done)?;
        self.asm.out(dx, al)?;
        self.asm.inc(rbx)?;
        self.asm.jmp(next)?;
        self.asm.set_label(&mut done)?;
        self.print("\n")
    }

    /// Whoever boots again has to be told again.
    fn wipe(&mut self) -> Assembled {
        let mut no_initrd = self.asm.create_label();
        self.asm.mov(qword_ptr(r11), 0)?;
        self.asm.mov(rdi, r12)?;
        self.asm.xor(eax, eax)?;
        self.asm.mov(ecx, 0x400 / 8)?;
        self.asm.rep().stosq()?;
        self.asm.test(r14, r14)?;
        self.asm.jz(no_initrd)?;
        self.asm.mov(byte_ptr(r14), 0)?;
        self.asm.set_label(&mut no_initrd)?;
        self.asm.nop()
    }

    /// R13 becomes the number of processors in the MP table (Intel, "MultiProcessor Specification",
    /// section 4.3); 0 if there is none.
    fn count_processors(&mut self) -> Assembled {
        let mut next = self.asm.create_label();
        let (mut other, mut done) = (self.asm.create_label(), self.asm.create_label());
        self.asm.xor(r13d, r13d)?;
        self.asm.mov(ebx, MP_POINTER)?;
        self.asm.cmp(dword_ptr(rbx), MP_MAGIC.cast_signed())?;
        self.asm.jne(done)?;
        self.asm.mov(ebx, dword_ptr(rbx + 4))?;
        self.asm.movzx(ecx, word_ptr(rbx + 34))?;
        self.asm.add(rbx, 44)?;
        self.asm.set_label(&mut next)?;
        self.asm.cmp(byte_ptr(rbx), 0)?;
        self.asm.jne(other)?;
        self.asm.movzx(eax, byte_ptr(rbx + 3))?;
        self.asm.and(eax, 1)?;
        self.asm.add(r13, rax)?;
        self.asm.add(rbx, 12)?;
        self.asm.set_label(&mut other)?;
        self.asm.add(rbx, 8)?;
        self.asm.dec(ecx)?;
        self.asm.jnz(next)?;
        self.asm.set_label(&mut done)?;
        self.asm.nop()
    }
}
