//! The registers of the mock vCPUs as a policy reaches them. A write is seen at once.

use super::{Command, MockEngine};
use crate::testing::MockVcpu;
use crate::{CpuidLeaf, GeneralRegisters, Refusal, Register, RegistersRead, RegistersWrite};

impl RegistersRead for MockEngine {
    fn get_register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        self.admit(Command::GetRegister)?;
        Ok(self.vcpu(vcpu)?.register(register))
    }

    fn get_registers(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal> {
        self.admit(Command::GetRegisters)?;
        Ok(general(self.vcpu(vcpu)?))
    }

    fn get_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        self.admit(Command::GetMsr)?;
        let found = self.vcpu(vcpu)?.msrs.get(&msr).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn get_xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        self.admit(Command::GetXcr)?;
        let found = self.vcpu(vcpu)?.xcrs.get(&xcr).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn get_cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        self.admit(Command::GetCpuid)?;
        let found = self.vcpu(vcpu)?.cpuid.get(&(function, index)).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn get_xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        self.admit(Command::GetXsave)?;
        Ok(self.vcpu(vcpu)?.xsave.clone())
    }

    fn get_mtrr_type(&mut self, vcpu: u32, _: u64) -> Result<u8, Refusal> {
        self.admit(Command::GetMtrrType)?;
        self.vcpu(vcpu)?;
        Ok(6)
    }
}

impl RegistersWrite for MockEngine {
    fn set_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        self.admit(Command::SetRegister)?;
        self.vcpu(vcpu)?.registers.insert(register, value);
        Ok(())
    }

    fn set_registers(&mut self, vcpu: u32, registers: GeneralRegisters) -> Result<(), Refusal> {
        self.admit(Command::SetRegisters)?;
        self.vcpu(vcpu)?.registers.extend(named(&registers));
        Ok(())
    }

    fn set_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        self.admit(Command::SetMsr)?;
        self.vcpu(vcpu)?.msrs.insert(msr, value);
        Ok(())
    }

    fn set_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal> {
        self.admit(Command::SetXsave)?;
        self.vcpu(vcpu)?.xsave = area.to_vec();
        Ok(())
    }
}

fn general(vcpu: &MockVcpu) -> GeneralRegisters {
    GeneralRegisters {
        rax: vcpu.register(Register::Rax),
        rbx: vcpu.register(Register::Rbx),
        rcx: vcpu.register(Register::Rcx),
        rdx: vcpu.register(Register::Rdx),
        rsi: vcpu.register(Register::Rsi),
        rdi: vcpu.register(Register::Rdi),
        rsp: vcpu.register(Register::Rsp),
        rbp: vcpu.register(Register::Rbp),
        r8: vcpu.register(Register::R8),
        r9: vcpu.register(Register::R9),
        r10: vcpu.register(Register::R10),
        r11: vcpu.register(Register::R11),
        r12: vcpu.register(Register::R12),
        r13: vcpu.register(Register::R13),
        r14: vcpu.register(Register::R14),
        r15: vcpu.register(Register::R15),
        rip: vcpu.register(Register::Rip),
        rflags: vcpu.register(Register::Rflags),
    }
}

fn named(registers: &GeneralRegisters) -> [(Register, u64); 18] {
    [
        (Register::Rax, registers.rax),
        (Register::Rbx, registers.rbx),
        (Register::Rcx, registers.rcx),
        (Register::Rdx, registers.rdx),
        (Register::Rsi, registers.rsi),
        (Register::Rdi, registers.rdi),
        (Register::Rsp, registers.rsp),
        (Register::Rbp, registers.rbp),
        (Register::R8, registers.r8),
        (Register::R9, registers.r9),
        (Register::R10, registers.r10),
        (Register::R11, registers.r11),
        (Register::R12, registers.r12),
        (Register::R13, registers.r13),
        (Register::R14, registers.r14),
        (Register::R15, registers.r15),
        (Register::Rip, registers.rip),
        (Register::Rflags, registers.rflags),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

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
