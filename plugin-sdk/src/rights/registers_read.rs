//! Reading the registers of x86 vCPUs.

use crate::bindings::rights::oriel::introspection::x86_registers_read as wit;
use crate::{CpuidLeaf, Engine, Refusal};

/// The general-purpose registers, RIP and RFLAGS.
pub use wit::General as GeneralRegisters;
/// A register that is not a model-specific one.
pub use wit::Register;

/// The right to read registers. Those of the vCPU whose event is being judged cost no waiting.
///
/// ```
/// use oriel_sdk::{Moment, Refusal, Register, RegistersRead};
///
/// /// The number of the system call, at the entry to the kernel.
/// fn system_call(host: &mut impl RegistersRead, at: &Moment) -> Result<u64, Refusal> {
///     host.get_register(at.vcpu, Register::Rax)
/// }
/// ```
///
/// ```
/// use oriel_sdk::{CpuidLeaf, GeneralRegisters, RegistersRead, msr, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// let leaf = CpuidLeaf { eax: 1, ebx: 2, ecx: 3, edx: 4 };
/// host.vcpus[0].msrs.insert(msr::LSTAR, 7);
/// host.vcpus[0].cpuid.insert((1, 0), leaf);
/// let general: GeneralRegisters = host.get_registers(0)?;
/// assert_eq!(general.rflags, 2);
/// assert_eq!(host.get_msr(0, msr::LSTAR), Ok(7));
/// assert_eq!(host.get_cpuid(0, 1, 0), Ok(leaf));
/// assert_eq!(host.get_xcr(0, 0), Ok(1));
/// assert_eq!(host.get_xsave(0)?.len(), 576);
/// assert_eq!(host.get_mtrr_type(0, 0x1000), Ok(6));
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
///
/// # Errors
/// All functions: denied; `not-found`, if there is no such vCPU or register; `unavailable`, if
/// the machine does not show it.
pub trait RegistersRead {
    /// One register.
    fn get_register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal>;
    /// The general-purpose registers, RIP and RFLAGS.
    fn get_registers(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal>;
    /// A model-specific register.
    fn get_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal>;
    /// An extended control register.
    fn get_xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal>;
    /// What CPUID answers.
    fn get_cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal>;
    /// The XSAVE area, at most 4096 bytes.
    fn get_xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal>;
    /// The memory type of a guest-physical address by the MTRRs: 0 uncached … 6 write-back.
    fn get_mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal>;
}

impl RegistersRead for Engine {
    fn get_register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        wit::get(vcpu, register)
    }

    fn get_registers(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal> {
        wit::get_general(vcpu)
    }

    fn get_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        wit::get_msr(vcpu, msr)
    }

    fn get_xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        wit::get_xcr(vcpu, xcr)
    }

    fn get_cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        wit::get_cpuid(vcpu, function, index)
    }

    fn get_xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        wit::get_xsave(vcpu)
    }

    fn get_mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal> {
        wit::get_mtrr_type(vcpu, gpa)
    }
}
