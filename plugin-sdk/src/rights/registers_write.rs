//! Writing the registers of x86 vCPUs.

use crate::bindings::rights::oriel::introspection::x86_registers_write as wit;
use crate::{Engine, GeneralRegisters, Refusal, Register};

/// The right to write registers. Inside an event the writes to its vCPU are staged: later judges
/// see them, and a second write of another value to the same register is a conflict.
///
/// ```
/// use oriel_sdk::{Register, RegistersRead, RegistersWrite, msr, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.set_register(0, Register::Rax, 7)?;
/// let general = host.get_registers(0)?;
/// host.set_registers(1, general)?;
/// assert_eq!(host.get_register(1, Register::Rax), Ok(7));
/// host.set_msr(0, msr::LSTAR, 9)?;
/// host.set_xsave(0, &[0; 576])?;
/// assert_eq!(host.vcpus[0].msrs[&msr::LSTAR], 9);
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
///
/// # Errors
/// All functions: denied; `not-found`, if there is no such vCPU or register; `invalid`, if it
/// cannot hold the value; `conflict`, if another judge of the same event has written it.
pub trait RegistersWrite {
    /// One register.
    fn set_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal>;
    /// The general-purpose registers, RIP and RFLAGS.
    fn set_registers(&mut self, vcpu: u32, registers: GeneralRegisters) -> Result<(), Refusal>;
    /// A model-specific register.
    fn set_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal>;
    /// The XSAVE area.
    fn set_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal>;
}

impl RegistersWrite for Engine {
    fn set_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        wit::set(vcpu, register, value)
    }

    fn set_registers(&mut self, vcpu: u32, registers: GeneralRegisters) -> Result<(), Refusal> {
        wit::set_general(vcpu, registers)
    }

    fn set_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        wit::set_msr(vcpu, msr, value)
    }

    fn set_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal> {
        wit::set_xsave(vcpu, area)
    }
}
