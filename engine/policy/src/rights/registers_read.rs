//! Reads the registers of vCPUs.

use oriel_protocol::commands::vcpu;

use crate::{
    bindings::oriel::introspection::{
        types::{CpuidLeaf, Refusal},
        x86_registers_read::{General, Host, Register},
    },
    state::State,
};

impl Host for State {
    fn get(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal> {
        let register = register.into();
        Ok(self.vcpu(vcpu, vcpu::GetRegister { register })?)
    }

    fn get_general(&mut self, vcpu: u32) -> Result<General, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::GetGeneral {})?.into())
    }

    fn get_msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::GetMsr { msr })?)
    }

    fn get_xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::GetXcr { xcr })?)
    }

    fn get_cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::GetCpuid { function, index })?.into())
    }

    fn get_xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal> {
        let area = self.vcpu(vcpu, vcpu::GetXsave {})?;
        self.fits(area.len())?;
        Ok(area)
    }

    fn get_mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::GetMtrrType { gpa })?)
    }
}
