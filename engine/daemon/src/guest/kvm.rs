//! Guests of the kvm machine: images.

use std::sync::Arc;

use anyhow::bail;
use oriel_machine::{Outlet, Parts};
use oriel_protocol::{Arch, Identity};
use uuid::Uuid;

use super::BUILTIN;
use crate::plan::Plan;

/// Whether KVM can be used here; if not, why.
pub(crate) fn is_usable() -> Result<(), String> {
    Err("soon".to_owned())
}

/// Which VM it will be where nothing is said.
pub(super) fn identity(plan: &Plan) -> Identity {
    let name = plan
        .guest
        .strip_prefix(BUILTIN)
        .unwrap_or(&plan.guest)
        .to_owned();
    Identity {
        uuid: Uuid::new_v4(),
        name,
        arch: Arch::X86_64,
    }
}

/// Makes the machine.
pub(super) fn build(_: &Plan, _: Identity, _: Arc<dyn Outlet>) -> anyhow::Result<Parts> {
    bail!("soon")
}

/// A machine that is only asked what it can do.
pub(super) fn empty() -> anyhow::Result<Parts> {
    bail!("soon")
}
