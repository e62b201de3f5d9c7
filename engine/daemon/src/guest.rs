//! Which machine a guest runs on, and what the guest is.

mod kvm;
mod mock;

use std::sync::Arc;

use oriel_machine::{Machine, Outlet, Parts, mock::Scenario, qemu};
use oriel_protocol::{Capabilities, Identity};

use crate::{
    args::MachineKind,
    plan::{Plan, Usage},
};

pub(crate) use kvm::is_usable as kvm_is_usable;

/// What a guest that Oriel brings along is called with.
const BUILTIN: &str = "builtin:";

/// Which VM it will be.
pub(crate) fn identity(plan: &Plan) -> anyhow::Result<Identity> {
    let given = match plan.machine {
        MachineKind::Mock => mock::scenario(plan)?.identity().clone(),
        MachineKind::Kvm => kvm::identity(plan),
        MachineKind::Qemu => return Err(attached_to()),
    };
    Ok(Identity {
        uuid: plan.uuid.unwrap_or(given.uuid),
        name: plan.name.clone().unwrap_or(given.name),
        arch: given.arch,
    })
}

/// The scenario of this name, or in this file.
pub(crate) fn scenario(guest: &str) -> anyhow::Result<Scenario> {
    mock::named(guest)
}

/// Makes the machine with its guest.
pub(crate) fn build(
    plan: &Plan,
    identity: Identity,
    outlet: Arc<dyn Outlet>,
) -> anyhow::Result<Parts> {
    match plan.machine {
        MachineKind::Mock => mock::build(plan, identity, outlet),
        MachineKind::Kvm => kvm::build(plan, identity, outlet),
        MachineKind::Qemu => Err(attached_to()),
    }
}

/// What a machine can do, as far as it can be said without a guest.
pub(crate) fn capabilities(kind: MachineKind) -> anyhow::Result<Capabilities> {
    Ok(match kind {
        MachineKind::Mock | MachineKind::Kvm => empty(kind)?.capabilities().clone(),
        MachineKind::Qemu => qemu::capabilities(),
    })
}

/// Oriel starts no QEMU.
fn attached_to() -> anyhow::Error {
    let words = "a qemu guest is attached to, not started: `oriel attach qemu --gdb unix:PATH --qmp unix:PATH`";
    Usage::new(words).into()
}

/// A machine that is only asked what it can do.
pub(crate) fn empty(kind: MachineKind) -> anyhow::Result<Arc<dyn Machine>> {
    let parts = match kind {
        MachineKind::Mock => mock::empty()?,
        MachineKind::Kvm => kvm::empty()?,
        MachineKind::Qemu => return Err(attached_to()),
    };
    Ok(parts.machine)
}

/// The guests there are, for whoever asked for one that is not.
fn known(names: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    names
        .map(|(name, what)| format!("\n  {BUILTIN}{name:<16} {what}"))
        .collect()
}
