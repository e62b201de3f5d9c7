//! Guests of the mock machine: scenarios.

use std::{path::Path, sync::Arc};

use anyhow::anyhow;
use oriel_machine::{
    Outlet, Parts,
    mock::{self, BUILTINS, Scenario},
    outlet::Kept,
};
use oriel_protocol::Identity;

use super::{BUILTIN, known};
use crate::plan::Plan;

/// The scenario that is to be played.
pub(super) fn scenario(plan: &Plan) -> anyhow::Result<Scenario> {
    let scenario = named(&plan.guest)?;
    let scenario = plan.vcpus.into_iter().fold(scenario, Scenario::vcpus);
    let memory = plan.memory_mib.map(u32::try_from).transpose();
    let memory = memory.map_err(|_| anyhow!("--memory is far too much"))?;
    Ok(memory.into_iter().fold(scenario, Scenario::memory_mib))
}

/// The scenario of this name, or in this file.
pub(super) fn named(guest: &str) -> anyhow::Result<Scenario> {
    let Some(name) = guest.strip_prefix(BUILTIN) else {
        return Ok(Scenario::load(Path::new(guest))?);
    };
    mock::builtin(name).ok_or_else(|| {
        anyhow!(
            "the mock machine has no guest {name:?}; it has{}",
            known(BUILTINS.into_iter())
        )
    })
}

/// Makes the machine.
pub(super) fn build(
    plan: &Plan,
    identity: Identity,
    outlet: Arc<dyn Outlet>,
) -> anyhow::Result<Parts> {
    Ok(scenario(plan)?
        .named(identity.name)
        .uuid(identity.uuid)
        .build(outlet)?)
}

/// A machine that is only asked what it can do.
pub(super) fn empty() -> anyhow::Result<Parts> {
    Ok(Scenario::new("caps").build(Arc::new(Kept::default()))?)
}
