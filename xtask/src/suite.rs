//! The test suite: everything it needs, then `cargo test`. Which tests there are is Cargo's
//! business.

use std::ffi::OsString;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{child, plugins, setup};

/// Runs all tests, with the plugins at hand in `ORIEL_PLUGINS`; the answer is the exit status.
pub(crate) fn run(args: &[OsString]) -> Result<u8> {
    setup::run()?;
    let workspace = Workspace::here()?;
    plugins::build(&workspace, false)?;
    let mut cargo = child::cargo();
    cargo
        .args(["test", "--workspace"])
        .args(args)
        .env("ORIEL_PLUGINS", workspace.plugins());
    child::status(&mut cargo)
}
