//! The VM as a whole: what all threads see of a mock machine.

use std::sync::Arc;

use oriel_protocol::{Capabilities, EventKind, Identity, Refusal, events::EventClass};
use vm_memory::GuestMemoryMmap;

use super::{armed::Armed, world::World};
use crate::{
    GuestMemory, Wants,
    machine::{ArmError, Hold, Machine},
};

/// A machine that plays a scenario.
#[derive(Debug)]
pub(super) struct MockMachine {
    identity: Identity,
    capabilities: Capabilities,
    ram: GuestMemoryMmap<()>,
    world: Arc<World>,
}

impl MockMachine {
    pub(super) fn new(identity: Identity, ram: GuestMemoryMmap<()>, world: Arc<World>) -> Self {
        Self {
            identity,
            capabilities: capabilities(),
            ram,
            world,
        }
    }
}

impl Machine for MockMachine {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn memory(&self) -> &dyn GuestMemory {
        &self.ram
    }

    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        let vcpus = self.world.vcpus();
        let before = self.world.armed();
        self.world
            .arm(Armed::new(wants, vcpus, self.ram.end(), &before)?);
        Ok(())
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.world.hold_others(vcpu)
    }
}

/// Everything that the tables have; `pause` is there as the notice of that name.
fn capabilities() -> Capabilities {
    let facilities = [
        "registers",
        "memory-read",
        "memory-write",
        "memory-mapping",
        "inject",
    ];
    let all = EventKind::ALL
        .iter()
        .fold(Capabilities::default(), |all, &kind| match kind.class() {
            EventClass::Vcpu | EventClass::Notice => all.event(kind, "script", kind.verdicts()),
            EventClass::Wire => all.no_event(kind, "exists on a KVMI wire only"),
        });
    facilities
        .iter()
        .fold(all, |all, name| all.facility(name, "script"))
}
