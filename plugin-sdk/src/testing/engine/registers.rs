//! The registers of vCPUs as a policy reaches them. On the bench a write is seen at once; while a
//! scenario is played it is staged, as in the engine.

use super::{Command, MockEngine};
use crate::{CpuidLeaf, GeneralRegisters, Refusal, Register, RegistersRead, RegistersWrite};

/// The most bytes of an XSAVE area.
const XSAVE: usize = 4096;

impl RegistersRead for MockEngine {
    fn get_register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        self.admit_on(Command::GetRegister, vcpu)?;
        self.guest().register(vcpu, register)
    }

    fn get_registers(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal> {
        self.admit_on(Command::GetRegisters, vcpu)?;
        self.guest().general(vcpu)
    }

    fn get_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        self.admit_on(Command::GetMsr, vcpu)?;
        self.guest().msr(vcpu, msr)
    }

    fn get_xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        self.admit_on(Command::GetXcr, vcpu)?;
        self.guest().xcr(vcpu, xcr)
    }

    fn get_cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        self.admit_on(Command::GetCpuid, vcpu)?;
        self.guest().cpuid(vcpu, function, index)
    }

    fn get_xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        self.admit_on(Command::GetXsave, vcpu)?;
        self.guest().xsave(vcpu)
    }

    fn get_mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal> {
        self.admit_on(Command::GetMtrrType, vcpu)?;
        self.guest().mtrr_type(vcpu, gpa)
    }
}

impl RegistersWrite for MockEngine {
    fn set_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        self.admit_on(Command::SetRegister, vcpu)?;
        self.guest().put_register(vcpu, register, value)
    }

    fn set_registers(&mut self, vcpu: u32, registers: GeneralRegisters) -> Result<(), Refusal> {
        self.admit_on(Command::SetRegisters, vcpu)?;
        self.guest().put_general(vcpu, registers)
    }

    fn set_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        self.admit_on(Command::SetMsr, vcpu)?;
        self.guest().put_msr(vcpu, msr, value)
    }

    fn set_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal> {
        self.admit_on(Command::SetXsave, vcpu)?;
        if area.len() > XSAVE {
            return Err(Refusal::Invalid);
        }
        self.guest().put_xsave(vcpu, area)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::engine::own::named;

    #[test]
    fn all_general_registers_are_written_and_read_back() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        for (value, (register, _)) in (1..).zip(named(&engine.get_registers(0)?)) {
            engine.set_register(0, register, value)?;
        }
        let registers = engine.get_registers(0)?;
        engine.set_registers(1, registers)?;
        let values = named(&engine.get_registers(1)?).map(|(_, value)| value);
        assert!(values.into_iter().eq(1..=18));
        Ok(())
    }

    #[test]
    fn there_is_no_vcpu_behind_the_last() {
        let mut engine = MockEngine::new(2);
        assert_eq!(engine.get_xsave(2), Err(Refusal::NotFound));
        assert_eq!(engine.get_msr(1, 0x10), Err(Refusal::NotFound));
    }
}
