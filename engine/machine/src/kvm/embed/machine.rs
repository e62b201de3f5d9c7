//! An embedder's VM, as the engine sees it.

use std::sync::Arc;

use kvm_ioctls::VmFd;
use oriel_protocol::{Capabilities, EventKind, Identity, Refusal, Support};

use crate::{
    ArmError, Changed, GuestMemory, Hold, Machine, Wants,
    kvm::{
        arm::Arming, capabilities, habits::Habits, patched::PatchedRam, pending::END_VERDICTS,
        world::World,
    },
};

/// Why pages cannot be trapped where introspection has no mapping of its own.
pub(super) const NOT_SHARED: &str =
    "this VMM has given no file for its memory: introspection would trap itself";

/// Why they cannot where nobody protects KVM's.
pub(super) const NO_SHIELD: &str =
    "this VMM has given nobody who protects the mapping that KVM uses";

/// An embedder's VM.
pub(super) struct EmbeddedVm {
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) vm: VmFd,
    pub(super) memory: Arc<PatchedRam>,
    pub(super) arming: Arc<Arming>,
    pub(super) world: Arc<World>,
}

/// The table for a host of these habits; `shared` if memory is mapped a second time, `traps` if pages
/// can be trapped, else why not.
pub(super) fn capabilities(
    habits: Habits,
    shared: bool,
    traps: Result<(), &'static str>,
) -> Capabilities {
    let how = match shared {
        true => "a second mapping of the VMM's files",
        false => "the VMM's own mapping",
    };
    let table = capabilities::capabilities(habits, capabilities::Served::Unknown)
        .facility("memory", how)
        .facility("memory-write", how)
        .event(EventKind::Reset, "told by the VMM", END_VERDICTS)
        .event(
            EventKind::Shutdown,
            "KVM_EXIT_SHUTDOWN, or told by the VMM",
            END_VERDICTS,
        )
        .limited("interrupts", Support::Yes, "the VMM's own business");
    match traps {
        Ok(()) => table,
        Err(reason) => table.no_event(EventKind::Page, reason),
    }
}

impl Machine for EmbeddedVm {
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
        let pages = (!wants.pages.is_empty()).then_some(EventKind::Page);
        wants
            .events
            .iter()
            .chain(pages)
            .try_for_each(|kind| self.check(kind))?;
        self.arming.arm(&self.vm, wants)
    }

    fn arm_changed(&self, wants: &Wants, changed: &Changed) -> Result<(), ArmError> {
        self.arming.arm_changed(&self.vm, wants, changed)
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.world.hold_others(vcpu)
    }
}

impl EmbeddedVm {
    /// What the table says no to is not armed.
    fn check(&self, kind: EventKind) -> Result<(), ArmError> {
        match self.capabilities.get(kind.name()) {
            Some(row) if row.support == Support::No => Err(ArmError::Unsupported {
                what: format!("`{}`", kind.name()),
                reason: row.reason.clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}
