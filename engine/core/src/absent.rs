//! What stands where a desk has no vCPU of its own: the clock's.

use std::sync::Arc;

use oriel_machine::{Exit, Kicker, MachineError, Vcpu, VcpuState};
use oriel_protocol::{
    Gpa, Refusal, Verdict,
    x86::{CpuidLeaf, Exception, General, Special},
};

/// No vCPU. There is nothing to be found of it, and it never runs.
pub(crate) struct Absent {
    /// The number of its mailbox, behind those of all vCPUs.
    pub(crate) index: u32,
}

/// Nobody to kick: its owner is always to be found at the mailbox.
pub(crate) struct Nobody;

impl Kicker for Nobody {
    fn kick(&self) {}
}

impl Vcpu for Absent {
    fn index(&self) -> u32 {
        self.index
    }
    fn kicker(&self) -> Arc<dyn Kicker> {
        Arc::new(Nobody)
    }
    fn acknowledge_kick(&mut self) {}
    fn enter(&mut self, _: Verdict) -> Result<Exit, MachineError> {
        Ok(Exit::Kicked)
    }
}

impl VcpuState for Absent {
    fn general(&mut self) -> Result<General, Refusal> {
        Err(Refusal::NotFound)
    }
    fn set_general(&mut self, _: &General) -> Result<(), Refusal> {
        Err(Refusal::NotFound)
    }
    fn special(&mut self) -> Result<Special, Refusal> {
        Err(Refusal::NotFound)
    }
    fn set_special(&mut self, _: &Special) -> Result<(), Refusal> {
        Err(Refusal::NotFound)
    }
    fn msr(&mut self, _: u32) -> Result<u64, Refusal> {
        Err(Refusal::NotFound)
    }
    fn set_msr(&mut self, _: u32, _: u64) -> Result<(), Refusal> {
        Err(Refusal::NotFound)
    }
    fn cpuid(&mut self, _: u32, _: u32) -> Result<CpuidLeaf, Refusal> {
        Err(Refusal::NotFound)
    }
    fn xcr(&mut self, _: u8) -> Result<u64, Refusal> {
        Err(Refusal::NotFound)
    }
    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::NotFound)
    }
    fn set_xsave(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::NotFound)
    }
    fn mtrr_type(&mut self, _: Gpa) -> Result<u8, Refusal> {
        Err(Refusal::NotFound)
    }
    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        Err(Refusal::NotFound)
    }
    fn inject(&mut self, _: Exception) -> Result<(), Refusal> {
        Err(Refusal::NotFound)
    }
}
