//! Guests of the kvm machine: kernels and flat images.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use anyhow::{Context, anyhow, bail};
use oriel_guests::{Guest, abi};
use oriel_machine::{
    Outlet, Parts,
    kvm::{self, Config, Image, Kernel, Program},
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
    let mut config = match plan.guest.strip_prefix(BUILTIN) {
        Some(name) => brought_along(plan, builtin(name, plan.vcpus)?, outlet)?,
        None => Config {
            vcpus: plan.vcpus.unwrap_or(1),
            ..Config::new(program(plan)?, outlet)
        },
    };
    config.identity = identity;
    config.memory_mib = plan.memory_mib.unwrap_or(config.memory_mib);
    config.input = plan.input.as_deref().map(input).transpose()?;
    Ok(config.build()?)
}

fn brought_along(plan: &Plan, guest: Guest, outlet: Arc<dyn Outlet>) -> anyhow::Result<Config> {
    if wants_kernel(plan) {
        bail!(
            "{} is no kernel: leave `--initrd` and `--cmdline` out",
            plan.guest
        );
    }
    let image = Image {
        bytes: guest.image,
        load: guest.load,
        entry: guest.entry,
    };
    Ok(Config {
        vcpus: guest.vcpus,
        interrupts: guest.interrupts,
        ..Config::new(image, outlet)
    })
}

const fn wants_kernel(plan: &Plan) -> bool {
    plan.initrd.is_some() || plan.cmdline.is_some()
}

/// What is in the file: a kernel, or a flat image.
fn program(plan: &Plan) -> anyhow::Result<Program> {
    let file = Path::new(&plan.guest);
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", plan.guest))?;
    if wants_kernel(plan) || Kernel::is_one(&bytes) {
        let cmdline = plan.cmdline.as_deref().unwrap_or(Kernel::COMMAND_LINE);
        return Ok(Kernel::read(file, plan.initrd.as_deref(), cmdline)?.into());
    }
    if bytes.is_empty() {
        bail!(
            "{} is empty: a flat image begins with its first instruction",
            plan.guest
        );
    }
    Ok(Program::Flat(Image {
        bytes,
        load: FLAT,
        entry: FLAT,
    }))
}

/// What is typed on the serial line.
fn input(place: &str) -> anyhow::Result<Box<dyn Read + Send>> {
    if place == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = File::open(place).with_context(|| format!("--input {place} cannot be read"))?;
    Ok(Box::new(file))
}

fn builtin(name: &str, vcpus: Option<u32>) -> anyhow::Result<Guest> {
    let asked = vcpus.unwrap_or_else(|| oriel_guests::usual_vcpus(name));
    oriel_guests::by_name(name, asked).ok_or_else(|| {
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

/// A machine that is only asked what it can do: with all that a kernel finds.
pub(super) fn empty() -> anyhow::Result<Parts> {
    let image = Image {
        bytes: vec![0xf4],
        load: FLAT,
        entry: FLAT,
    };
    let config = Config {
        interrupts: true,
        ..Config::new(image, Arc::new(Kept::default()))
    };
    Ok(config.build()?)
}
