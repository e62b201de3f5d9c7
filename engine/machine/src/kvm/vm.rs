//! The VM as a whole: what its vCPUs share, and the [`Machine`] that the engine sees.

use std::sync::Arc;

use oriel_protocol::{Capabilities, Identity, Refusal};

use super::{
    arm::Arming, chips::Chips, devices::Devices, patched::PatchedRam, program::Program, ram::Ram,
    sys::vm::MappedVm, world::World,
};
use crate::{ArmError, GuestMemory, Hold, Machine, Wants};

/// A VM in this process.
pub(super) struct KvmVm {
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) vm: Arc<MappedVm>,
    pub(super) ram: Ram,
    pub(super) memory: Arc<PatchedRam>,
    pub(super) vcpus: u32,
    pub(super) program: Program,
    pub(super) devices: Devices,
    /// None: no interrupts.
    pub(super) chips: Option<Chips>,
    pub(super) arming: Arc<Arming>,
    pub(super) world: Arc<World>,
}

impl KvmVm {
    /// Puts memory and devices into the state in which the VM started. The caller holds the
    /// vCPUs out of the guest; each puts itself back before it enters again.
    pub(super) fn reset(&self) -> std::io::Result<()> {
        self.ram.clear()?;
        self.program
            .load(&self.ram.alias, self.vcpus)
            .map_err(std::io::Error::other)?;
        self.memory.place_again();
        self.devices.reset();
        if let Some(chips) = &self.chips {
            chips.put_back(self.vm.fd())?;
        }
        self.world.reset();
        Ok(())
    }
}

impl Machine for KvmVm {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn memory(&self) -> &dyn GuestMemory {
        &*self.memory
    }

    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        self.arming.arm(self.vm.fd(), wants)
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.world.hold_others(vcpu)
    }
}
