//! Making a toolchain for policies where the active one has no Wasm target. `oriel_build` finds
//! and runs it. Never changes the toolchains of the machine.

mod debian;
mod library;

use anyhow::Result;
use oriel_build::cache::Cache;
use oriel_build::toolchain::{TARGET, rustc::Rustc};

/// Makes sure that there is one, and says in a line what that took.
pub(crate) fn set_up() -> Result<String> {
    let active = Rustc::active()?;
    if active.has_target() {
        return Ok(format!("rustc {} has {TARGET}", active.version));
    }
    debian::set_up(&Cache::open()?, &active)
}
