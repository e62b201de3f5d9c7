//! Which machine a guest runs on, and what the guest is.

mod kvm;
mod mock;

use std::sync::Arc;

use oriel_machine::{Machine, Outlet, Parts, mock::Scenario};
use oriel_protocol::Identity;

use crate::{args::MachineKind, plan::Plan};

pub(crate) use kvm::is_usable as kvm_is_usable;

/// What a guest that Oriel brings along is called with.
const BUILTIN: &str = "builtin:";

/// Which VM it will be.
pub(crate) fn identity(plan: &Plan) -> anyhow::Result<Identity> {
    let given = match plan.machine {
        MachineKind::Mock => mock::scenario(plan)?.identity().clone(),
        MachineKind::Kvm => kvm::identity(plan),
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
    }
}

/// A machine that is only asked what it can do.
pub(crate) fn empty(kind: MachineKind) -> anyhow::Result<Arc<dyn Machine>> {
    let parts = match kind {
        MachineKind::Mock => mock::empty()?,
        MachineKind::Kvm => kvm::empty()?,
    };
    Ok(parts.machine)
}

/// The guests there are, for whoever asked for one that is not.
fn known(names: impl Iterator<Item = (&'static str, &'static str)>) -> String {
    names
        .map(|(name, what)| format!("\n  {BUILTIN}{name:<16} {what}"))
        .collect()
}
