//! Guests of the kvm machine: images.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use oriel_guests::{Guest, abi};
use oriel_machine::{
    Outlet, Parts,
    kvm::{self, Config, Image},
    outlet::Kept,
};
use oriel_protocol::{Arch, Identity};
use uuid::Uuid;

use super::{BUILTIN, known};
use crate::plan::Plan;

/// Where a flat image goes, and is entered.
const FLAT: u64 = abi::LOAD;

/// Whether KVM can be used here; if not, why.
pub(crate) fn is_usable() -> Result<(), String> {
    kvm::is_usable().map_err(|error| error.to_string())
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
pub(super) fn build(
    plan: &Plan,
    identity: Identity,
    outlet: Arc<dyn Outlet>,
) -> anyhow::Result<Parts> {
    let (image, vcpus) = image(plan)?;
    let mut config = Config {
        identity,
        vcpus,
        ..Config::new(image, outlet)
    };
    config.memory_mib = plan.memory_mib.unwrap_or(config.memory_mib);
    Ok(config.build()?)
}

/// The image, and how many vCPUs it runs on.
fn image(plan: &Plan) -> anyhow::Result<(Image, u32)> {
    let Some(name) = plan.guest.strip_prefix(BUILTIN) else {
        let bytes =
            std::fs::read(&plan.guest).with_context(|| format!("{} cannot be read", plan.guest))?;
        if bytes.is_empty() {
            bail!(
                "{} is empty: a flat image begins with its first instruction",
                plan.guest
            );
        }
        return Ok((
            Image {
                bytes,
                load: FLAT,
                entry: FLAT,
            },
            plan.vcpus.unwrap_or(1),
        ));
    };
    let Guest {
        image,
        load,
        entry,
        vcpus,
        ..
    } = builtin(name, plan.vcpus)?;
    Ok((
        Image {
            bytes: image,
            load,
            entry,
        },
        vcpus,
    ))
}

fn builtin(name: &str, vcpus: Option<u32>) -> anyhow::Result<Guest> {
    let asked = vcpus.unwrap_or(1);
    // A guest that needs more than one vCPU gets two unless the operator says how many.
    let guest = oriel_guests::by_name(name, asked).or_else(|| {
        vcpus
            .is_none()
            .then(|| oriel_guests::by_name(name, 2))
            .flatten()
    });
    guest.ok_or_else(|| {
        let names = oriel_guests::NAMES;
        if names.iter().any(|(known, _)| *known == name) {
            anyhow!("the guest {name:?} does not run on {asked} vCPUs: give it more with `--vcpus`")
        } else {
            anyhow!(
                "the kvm machine has no guest {name:?}; it has{}",
                known(names.iter().copied())
            )
        }
    })
}

/// A machine that is only asked what it can do.
pub(super) fn empty() -> anyhow::Result<Parts> {
    let image = Image {
        bytes: vec![0xf4],
        load: FLAT,
        entry: FLAT,
    };
    Ok(Config::new(image, Arc::new(Kept::default())).build()?)
}
