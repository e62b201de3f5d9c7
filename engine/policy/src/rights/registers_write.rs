//! Writes the registers of vCPUs.

use oriel_protocol::{self as table, commands::vcpu};

use crate::{
    bindings::oriel::introspection::{
        types::Refusal,
        x86_registers_write::{General, Host, Register},
    },
    limits::XSAVE_MAX,
    state::State,
};

impl Host for State {
    fn set(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal> {
        let register = register.into();
        Ok(self.vcpu(vcpu, vcpu::SetRegister { register, value })?)
    }

    fn set_general(&mut self, vcpu: u32, registers: General) -> Result<(), Refusal> {
        let general = registers.into();
        Ok(self.vcpu(vcpu, vcpu::SetRegisters { general })?)
    }

    fn set_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal> {
        Ok(self.vcpu(vcpu, vcpu::SetMsr { msr, value })?)
    }

    fn set_xsave(&mut self, vcpu: u32, area: Vec<u8>) -> Result<(), Refusal> {
        if area.len() > XSAVE_MAX {
            return Err(table::Refusal::Invalid.into());
        }
        Ok(self.vcpu(vcpu, vcpu::SetXsave { area })?)
    }
}
