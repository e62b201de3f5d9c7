//! Registers and exceptions of x86 vCPUs. ARM64 would be a module beside this one.

use serde::Serialize;

/// An exception to raise in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
pub struct Exception {
    /// The vector, 0 to 31 (Intel SDM vol. 3, table 6-1).
    pub vector: u8,
    /// For the vectors that push one.
    pub error_code: Option<u32>,
    /// For a page fault: the address that goes to CR2.
    pub address: u64,
}

impl Exception {
    /// A general-protection fault with error code 0, which is what `deny` means.
    pub const GP0: Self = Self {
        vector: 13,
        error_code: Some(0),
        address: 0,
    };
    /// A breakpoint trap.
    pub const BP: Self = Self {
        vector: 3,
        error_code: None,
        address: 0,
    };

    /// Whether hardware pushes an error code for this vector (SDM vol. 3, section 6.13).
    pub const fn vector_has_error_code(vector: u8) -> bool {
        matches!(vector, 8 | 10..=14 | 17 | 21)
    }
}

/// What CPUID answers for one leaf.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode,
)]
pub struct CpuidLeaf {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// The general-purpose registers, the instruction pointer and the flags.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode,
)]
#[expect(missing_docs, reason = "the names are the registers'")]
pub struct General {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
}

/// A segment register with its hidden part.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode,
)]
pub struct Segment {
    /// Where it begins.
    pub base: u64,
    /// Its last valid offset.
    pub limit: u32,
    /// What the guest loaded.
    pub selector: u16,
    /// Bits 8 to 11 of the descriptor's second word.
    pub kind: u8,
    /// Present.
    pub present: bool,
    /// The descriptor's privilege level.
    pub dpl: u8,
    /// Default operation size: 32 bits.
    pub db: bool,
    /// Code or data, not system.
    pub s: bool,
    /// 64-bit code.
    pub l: bool,
    /// Limit in pages.
    pub g: bool,
    /// For software.
    pub avl: bool,
    /// Loaded with a null selector.
    pub unusable: bool,
}

/// GDTR or IDTR.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode,
)]
pub struct DescriptorTable {
    /// Where the table begins.
    pub base: u64,
    /// Its last valid offset.
    pub limit: u16,
}

/// Segments, descriptor tables and control registers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode,
)]
#[expect(missing_docs, reason = "the names are the registers'")]
pub struct Special {
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldt: Segment,
    pub gdt: DescriptorTable,
    pub idt: DescriptorTable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub apic_base: u64,
}

impl Special {
    /// The current privilege level, 0 to 3: the DPL of SS (SDM vol. 3, section 5.5).
    pub const fn cpl(&self) -> u8 {
        self.ss.dpl & 3
    }
}

/// Those of the special registers that are numbers of their own: by them addresses are translated.
/// A debugger's stub shows these, and no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the registers'")]
pub struct Control {
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

/// A register that can be read or written by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are the registers'")]
pub enum Register {
    Rax,
    Rbx,
    Rcx,
    Rdx,
    Rsi,
    Rdi,
    Rsp,
    Rbp,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Rip,
    Rflags,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer,
    FsBase,
    GsBase,
    IdtBase,
    GdtBase,
}

impl Register {
    /// The registers that [`General`] holds.
    pub const GENERAL: [Self; 18] = [
        Self::Rax,
        Self::Rbx,
        Self::Rcx,
        Self::Rdx,
        Self::Rsi,
        Self::Rdi,
        Self::Rsp,
        Self::Rbp,
        Self::R8,
        Self::R9,
        Self::R10,
        Self::R11,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::Rip,
        Self::Rflags,
    ];
}

impl General {
    /// The field of this register; none if it is not one of the general ones.
    pub const fn field(&mut self, register: Register) -> Option<&mut u64> {
        use Register as R;
        Some(match register {
            R::Rax => &mut self.rax,
            R::Rbx => &mut self.rbx,
            R::Rcx => &mut self.rcx,
            R::Rdx => &mut self.rdx,
            R::Rsi => &mut self.rsi,
            R::Rdi => &mut self.rdi,
            R::Rsp => &mut self.rsp,
            R::Rbp => &mut self.rbp,
            R::R8 => &mut self.r8,
            R::R9 => &mut self.r9,
            R::R10 => &mut self.r10,
            R::R11 => &mut self.r11,
            R::R12 => &mut self.r12,
            R::R13 => &mut self.r13,
            R::R14 => &mut self.r14,
            R::R15 => &mut self.r15,
            R::Rip => &mut self.rip,
            R::Rflags => &mut self.rflags,
            R::Cr0 | R::Cr2 | R::Cr3 | R::Cr4 | R::Cr8 | R::Efer => return None,
            R::FsBase | R::GsBase | R::IdtBase | R::GdtBase => return None,
        })
    }
}

impl Special {
    /// The field of this register; none if it is one of the general ones.
    pub const fn field(&mut self, register: Register) -> Option<&mut u64> {
        use Register as R;
        Some(match register {
            R::Cr0 => &mut self.cr0,
            R::Cr2 => &mut self.cr2,
            R::Cr3 => &mut self.cr3,
            R::Cr4 => &mut self.cr4,
            R::Cr8 => &mut self.cr8,
            R::Efer => &mut self.efer,
            R::FsBase => &mut self.fs.base,
            R::GsBase => &mut self.gs.base,
            R::IdtBase => &mut self.idt.base,
            R::GdtBase => &mut self.gdt.base,
            R::Rax | R::Rbx | R::Rcx | R::Rdx | R::Rsi | R::Rdi | R::Rsp | R::Rbp => return None,
            R::R8 | R::R9 | R::R10 | R::R11 | R::R12 | R::R13 | R::R14 | R::R15 => return None,
            R::Rip | R::Rflags => return None,
        })
    }
}

impl Control {
    /// The registers that this holds.
    pub const ALL: [Register; 8] = [
        Register::Cr0,
        Register::Cr2,
        Register::Cr3,
        Register::Cr4,
        Register::Cr8,
        Register::Efer,
        Register::FsBase,
        Register::GsBase,
    ];

    /// What these special registers have of them.
    pub const fn of(special: &Special) -> Self {
        Self {
            cr0: special.cr0,
            cr2: special.cr2,
            cr3: special.cr3,
            cr4: special.cr4,
            cr8: special.cr8,
            efer: special.efer,
            fs_base: special.fs.base,
            gs_base: special.gs.base,
        }
    }

    /// The field of this register; none if it is not one of these.
    pub const fn field(&mut self, register: Register) -> Option<&mut u64> {
        use Register as R;
        Some(match register {
            R::Cr0 => &mut self.cr0,
            R::Cr2 => &mut self.cr2,
            R::Cr3 => &mut self.cr3,
            R::Cr4 => &mut self.cr4,
            R::Cr8 => &mut self.cr8,
            R::Efer => &mut self.efer,
            R::FsBase => &mut self.fs_base,
            R::GsBase => &mut self.gs_base,
            R::IdtBase | R::GdtBase | R::Rip | R::Rflags => return None,
            R::Rax | R::Rbx | R::Rcx | R::Rdx | R::Rsi | R::Rdi | R::Rsp | R::Rbp => return None,
            R::R8 | R::R9 | R::R10 | R::R11 | R::R12 | R::R13 | R::R14 | R::R15 => return None,
        })
    }
}

/// Numbers of MSRs that Oriel's own code names (SDM vol. 4; AMD APM vol. 2, appendix A).
#[expect(missing_docs, reason = "the names are the manuals'")]
pub mod msr {
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_ESP: u32 = 0x175;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const PAT: u32 = 0x277;
    pub const EFER: u32 = 0xc000_0080;
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const CSTAR: u32 = 0xc000_0083;
    pub const SFMASK: u32 = 0xc000_0084;
    pub const FS_BASE: u32 = 0xc000_0100;
    pub const GS_BASE: u32 = 0xc000_0101;
    pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
    pub const TSC_AUX: u32 = 0xc000_0103;
}
