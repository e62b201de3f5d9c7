//! What stands behind the mock engine: vCPUs and memory, its own or a scenario's machine.
//!
//! A guest carries things out. Whether a policy may ask for them, and what goes wrong on demand, is
//! decided before it.

use std::any::Any;
use std::fmt;

use super::{Armed, MockEngine};
use crate::{Capability, CpuidLeaf, Exception, GeneralRegisters, MachineInfo, Refusal, Register};

/// vCPUs and memory.
pub(in crate::testing) trait Guest: Any {
    /// Which VM it is.
    fn identity(&self) -> MachineInfo;
    /// What it can do.
    fn abilities(&self) -> Vec<Capability>;

    /// Fills `to` from guest-physical memory.
    fn look(&mut self, gpa: u64, to: &mut [u8]) -> Result<(), Refusal>;
    /// Stores all of it, or nothing.
    fn put(&mut self, gpa: u64, from: &[u8]) -> Result<(), Refusal>;
    /// Whether all of it is RAM.
    fn is_ram(&self, gpa: u64, length: u64) -> bool;
    /// Where a guest-virtual address leads, by the tables at `cr3` or by the vCPU's own.
    fn lead(&mut self, vcpu: u32, cr3: Option<u64>, gva: u64) -> Result<u64, Refusal>;

    /// A register.
    fn register(&mut self, vcpu: u32, register: Register) -> Result<u64, Refusal>;
    /// Sets a register.
    fn put_register(&mut self, vcpu: u32, register: Register, value: u64) -> Result<(), Refusal>;
    /// The general registers.
    fn general(&mut self, vcpu: u32) -> Result<GeneralRegisters, Refusal>;
    /// Sets the general registers.
    fn put_general(&mut self, vcpu: u32, general: GeneralRegisters) -> Result<(), Refusal>;
    /// A model-specific register.
    fn msr(&mut self, vcpu: u32, msr: u32) -> Result<u64, Refusal>;
    /// Sets a model-specific register.
    fn put_msr(&mut self, vcpu: u32, msr: u32, value: u64) -> Result<(), Refusal>;
    /// An extended control register.
    fn xcr(&mut self, vcpu: u32, xcr: u8) -> Result<u64, Refusal>;
    /// What CPUID answers.
    fn cpuid(&mut self, vcpu: u32, function: u32, index: u32) -> Result<CpuidLeaf, Refusal>;
    /// The XSAVE area.
    fn xsave(&mut self, vcpu: u32) -> Result<Vec<u8>, Refusal>;
    /// Sets the XSAVE area.
    fn put_xsave(&mut self, vcpu: u32, area: &[u8]) -> Result<(), Refusal>;
    /// The memory type of an address by the MTRRs.
    fn mtrr_type(&mut self, vcpu: u32, gpa: u64) -> Result<u8, Refusal>;
    /// Raises an exception at the next entry.
    fn raise(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal>;

    /// Reports what is armed from now on, and nothing else.
    fn arm(&mut self, armed: &Armed) -> Result<(), Refusal>;
}

/// Where a scenario's machine stands while it is played. A clone of the engine has its own guest.
#[derive(Default)]
pub(in crate::testing) struct Seat(Option<Box<dyn Guest>>);

impl Clone for Seat {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.0.is_some() {
            "a machine"
        } else {
            "nobody"
        };
        write!(to, "Seat({who})")
    }
}

impl MockEngine {
    /// The guest that is there now.
    pub(super) fn guest(&mut self) -> &mut dyn Guest {
        if self.seat.0.is_none() {
            return self;
        }
        self.seat.0.as_deref_mut().expect("seen one line above")
    }

    /// Takes a machine in the place of its own guest, or none; answers who was there.
    #[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
    pub(in crate::testing) fn seat(
        &mut self,
        guest: Option<Box<dyn Guest>>,
    ) -> Option<Box<dyn Guest>> {
        std::mem::replace(&mut self.seat.0, guest)
    }

    /// The machine in the place of its own guest, as what it is.
    #[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
    pub(in crate::testing) fn seated<G: Guest>(&mut self) -> Option<&mut G> {
        let guest: &mut dyn Any = self.seat.0.as_deref_mut()?;
        guest.downcast_mut()
    }
}
