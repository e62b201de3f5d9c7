//! The demo: everything it needs, then `oriel demo`. What it shows is `oriel`'s business.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::{guests, plugins, setup};
use oriel_build::child;
use oriel_build::workspace::Workspace;

/// Runs `oriel demo` with these arguments; the answer is its exit status.
///
/// Without arguments the unprotected variant runs after it, and both must do well.
pub(crate) fn run(args: &[OsString]) -> Result<u8> {
    setup::run()?;
    let workspace = Workspace::here()?;
    plugins::build(&workspace, false)?;
    child::run(&mut build())?;

    let mut shown = oriel(&workspace);
    if args
        .iter()
        .any(|arg| arg == "qemu" || arg == "--machine=qemu")
    {
        shown.env(guests::FOLDER, guests::Guests::set_up()?.folder());
    }
    let status = child::status(shown.args(args))?;
    if !args.is_empty() || status != 0 {
        return Ok(status);
    }
    child::status(oriel(&workspace).arg("--unprotected"))
}

/// Builds the program as the tests build it: Cargo settles the features of dependencies for all
/// that it is told to build, and without a test among it Wasmtime would be built a second time by
/// `cargo xtask test`.
fn build() -> Command {
    let mut cargo = child::cargo();
    cargo.args(["build", "--workspace", "--bin", "oriel", "--test", "cli"]);
    cargo
}

fn oriel(workspace: &Workspace) -> Command {
    let mut oriel = Command::new(workspace.target.join("debug/oriel"));
    oriel.args(["demo", "--plugins"]).arg(workspace.plugins());
    oriel
}
