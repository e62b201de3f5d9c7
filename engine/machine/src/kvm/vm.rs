//! The VM as a whole: what its vCPUs share, and the [`Machine`] that the engine sees.

use std::sync::Arc;

use oriel_protocol::{Capabilities, Identity, Refusal};

use super::{
    arm::Arming, chips::Chips, devices::Devices, patched::PatchedRam, program::Program, ram::Ram,
    rests::Rests, sys::vm::MappedVm, world::World,
};
use crate::{ArmError, Changed, GuestMemory, Hold, Machine, Wants};

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
    /// Who rests, where it is KVM that waits.
    pub(super) rests: Option<Rests>,
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
        if let Some(rests) = &self.rests {
            rests.reset();
        }
        self.world.reset();
        Ok(())
    }
}

impl KvmVm {
    /// Whether nothing runs any more, nor will.
    pub(super) fn all_rest(&self) -> bool {
        match &self.rests {
            Some(rests) => rests.all(),
            None => self.world.all_halt(),
        }
    }

    /// This vCPU has come out of the guest, or has been changed: whether it rests.
    pub(super) fn note_rest(&self, vcpu: u32, rests: impl FnOnce() -> bool) {
        if let Some(known) = &self.rests {
            known.note(vcpu, rests());
        }
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

    fn arm_changed(&self, wants: &Wants, changed: &Changed) -> Result<(), ArmError> {
        self.arming.arm_changed(self.vm.fd(), wants, changed)
    }

    fn resets(&self) -> u64 {
        self.world.resets()
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.world.hold_others(vcpu)
    }
}
