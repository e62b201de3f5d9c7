//! The demo: everything it needs, then `oriel demo`. What it shows is `oriel`'s business.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{child, plugins, setup};

/// Runs `oriel demo` with these arguments; the answer is its exit status.
///
/// Without arguments the unprotected variant runs after it, and both must do well.
pub(crate) fn run(args: &[OsString]) -> Result<u8> {
    setup::run()?;
    let workspace = Workspace::here()?;
    plugins::build(&workspace, false)?;
    child::run(child::cargo().args(["build", "--package", "oriel"]))?;

    let status = child::status(oriel(&workspace).args(args))?;
    if !args.is_empty() || status != 0 {
        return Ok(status);
    }
    child::status(oriel(&workspace).arg("--unprotected"))
}

fn oriel(workspace: &Workspace) -> Command {
    let mut oriel = Command::new(workspace.target.join("debug/oriel"));
    oriel.args(["demo", "--plugins"]).arg(workspace.plugins());
    oriel
}
