//! The guest that a bench has by itself: it runs nothing, and a test may change it at any time.

use super::{Armed, Guest, MockEngine};
use crate::testing::MockVcpu;
use crate::{
    Arch, Capability, CpuidLeaf, Exception, GeneralRegisters, MachineInfo, Refusal, Register,
};

/// Paging is on.
const PAGING: u64 = 1 << 31;
/// What MTRRs say of RAM, and of what is none.
const WRITE_BACK: u8 = 6;
const UNCACHED: u8 = 0;

impl MockEngine {
    /// A vCPU that a command names.
    fn vcpu(&mut self, vcpu: u32) -> Result<&mut MockVcpu, Refusal> {
        let vcpu = self.vcpus.get_mut(vcpu as usize);
        vcpu.ok_or(Refusal::NotFound)
    }
}

impl Guest for MockEngine {
    fn identity(&self) -> MachineInfo {
        MachineInfo {
            uuid: "00000000-0000-4000-8000-000000000000".into(),
            name: "bench".into(),
            arch: Arch::X8664,
            vcpus: self.vcpus.len().try_into().unwrap_or(u32::MAX),
            memory_end: self.memory.end,
        }
    }

    fn abilities(&self) -> Vec<Capability> {
        self.capabilities.clone()
    }

    fn look(&mut self, gpa: u64, to: &mut [u8]) -> Result<(), Refusal> {
        to.copy_from_slice(&self.memory.peek(gpa, to.len())?);
        Ok(())
    }

    fn put(&mut self, gpa: u64, from: &[u8]) -> Result<(), Refusal> {
        self.memory.poke(gpa, from)
    }

    fn is_ram(&self, gpa: u64, length: u64) -> bool {
        let end = gpa.checked_add(length);
        end.is_some_and(|end| end <= self.memory.end)
    }

    fn lead(&mut self, vcpu: u32, cr3: Option<u64>, gva: u64) -> Result<u64, Refusal> {
        let state = self.vcpu(vcpu)?;
        let own = state.register(Register::Cr3);
        if state.register(Register::Cr0) & PAGING == 0 {
            return Ok(gva);
        }
        self.memory.translate(cr3.unwrap_or(own), gva)
    }

    fn register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu)?.register(register))
    }

    fn put_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        self.vcpu(vcpu)?.registers.insert(register, value);
        Ok(())
    }

    fn general(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal> {
        Ok(general(self.vcpu(vcpu)?))
    }

    fn put_general(&mut self, vcpu: u32, general: GeneralRegisters) -> Result<(), Refusal> {
        self.vcpu(vcpu)?.registers.extend(named(&general));
        Ok(())
    }

    fn msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        let found = self.vcpu(vcpu)?.msrs.get(&msr).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn put_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        self.vcpu(vcpu)?.msrs.insert(msr, value);
        Ok(())
    }

    fn xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        let found = self.vcpu(vcpu)?.xcrs.get(&xcr).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        let found = self.vcpu(vcpu)?.cpuid.get(&(function, index)).copied();
        found.ok_or(Refusal::NotFound)
    }

    fn xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        Ok(self.vcpu(vcpu)?.xsave.clone())
    }

    fn put_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal> {
        self.vcpu(vcpu)?.xsave = area.to_vec();
        Ok(())
    }

    fn mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal> {
        self.vcpu(vcpu)?;
        let ram = self.is_ram(gpa, 1);
        Ok(if ram { WRITE_BACK } else { UNCACHED })
    }

    fn raise(&mut self, vcpu: u32, _: Exception) -> Result<(), Refusal> {
        self.vcpu(vcpu).map(drop)
    }

    fn arm(&mut self, _: &Armed) -> Result<(), Refusal> {
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

pub(super) fn named(registers: &GeneralRegisters) -> [(Register, u64); 18] {
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
