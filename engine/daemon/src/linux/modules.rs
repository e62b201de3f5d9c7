//! Loaded modules: all of them, one by its name, and the one that holds an address.

use oriel_guest::{Guest, Module};
use serde_json::{Value as Json, json};

use super::NoAnswer;

pub(super) fn modules(guest: &Guest<'_>) -> Result<Json, NoAnswer> {
    let listing = guest.modules()?;
    Ok(json!({
        "modules": listing.items,
        "ending": listing.ending,
        "source": listing.source,
    }))
}

/// The loaded module of this name.
pub(super) fn named(guest: &Guest<'_>, name: &str) -> Result<Module, NoAnswer> {
    let mut modules = guest.modules()?.items.into_iter();
    modules
        .find(|module| module.name == name)
        .ok_or_else(|| NoAnswer::NoModule(name.to_owned()))
}

/// The loaded module in one of whose parts an address lies.
pub(super) fn holding(guest: &Guest<'_>, address: u64) -> Result<Module, NoAnswer> {
    let mut modules = guest.modules()?.items.into_iter();
    modules
        .find(|module| holds(module, address))
        .ok_or(NoAnswer::Nowhere(address))
}

fn holds(module: &Module, address: u64) -> bool {
    let mut parts = module.parts.iter();
    parts.any(|part| address >= part.base && address - part.base < part.size)
}
