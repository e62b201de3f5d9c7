//! A vCPU that runs nothing: its registers, as a policy sees them.

use std::collections::BTreeMap;

use crate::{CpuidLeaf, Register};

/// A vCPU of the mock engine, in the kernel of a 64-bit guest. What a test does not set is not
/// there (MSRs, CPUID leaves) or 0 (registers).
///
/// ```
/// use oriel_sdk::testing::MockVcpu;
/// use oriel_sdk::{Register, msr};
///
/// let mut vcpu = MockVcpu::default();
/// vcpu.cpl = 3;
/// vcpu.registers.insert(Register::Rax, 7);
/// vcpu.msrs.insert(msr::LSTAR, 0xffff_ffff_81e0_0080);
/// assert_eq!(vcpu.register(Register::Rax), 7);
/// assert_eq!(vcpu.register(Register::Rbx), 0, "nobody has set it");
/// ```
#[derive(Clone, Debug)]
pub struct MockVcpu {
    /// Its privilege level, which the moments of its events have.
    pub cpl: u8,
    /// Its registers; RIP and CR3 are those of its events' moments.
    pub registers: BTreeMap<Register, u64>,
    /// Its model-specific registers.
    pub msrs: BTreeMap<u32, u64>,
    /// Its extended control registers.
    pub xcrs: BTreeMap<u8, u64>,
    /// What CPUID answers, by function and index.
    pub cpuid: BTreeMap<(u32, u32), CpuidLeaf>,
    /// Its XSAVE area.
    pub xsave: Vec<u8>,
}

impl MockVcpu {
    /// The value of a register.
    pub fn register(&self, register: Register) -> u64 {
        self.registers.get(&register).copied().unwrap_or(0)
    }
}

impl Default for MockVcpu {
    fn default() -> Self {
        let registers = [
            (Register::Rip, 0xffff_ffff_8100_0000),
            (Register::Rsp, 0xffff_c900_0000_4000),
            (Register::Rflags, 0x2),
            (Register::Cr0, 0x8005_0033),
            (Register::Cr3, 0x10_0000),
            (Register::Cr4, 0x6f0),
            (Register::Efer, 0xd01),
        ];
        Self {
            cpl: 0,
            registers: registers.into(),
            msrs: BTreeMap::new(),
            xcrs: [(0, 1)].into(),
            cpuid: BTreeMap::new(),
            xsave: vec![0; 576],
        }
    }
}
