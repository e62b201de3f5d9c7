//! Writes guest memory.

use oriel_protocol::commands::{vcpu::WriteVirtual, vm::WritePhysical};

use super::bulk;
use crate::{
    bindings::oriel::introspection::{memory_write::Host, types::Refusal},
    state::State,
};

impl Host for State {
    fn write(&mut self, gpa: u64, bytes: Vec<u8>) -> Result<(), Refusal> {
        bulk(bytes.len())?;
        Ok(self.vm(WritePhysical { gpa, bytes })?)
    }

    fn write_virtual(&mut self, vcpu: u32, gva: u64, bytes: Vec<u8>) -> Result<(), Refusal> {
        bulk(bytes.len())?;
        Ok(self.vcpu(vcpu, WriteVirtual { gva, bytes })?)
    }
}
