//! The test suite: everything it needs, then `cargo test`. Which tests there are is Cargo's
//! business.

use std::ffi::OsString;

use anyhow::Result;

use crate::{guests, plugins, setup};
use oriel_build::child;
use oriel_build::workspace::Workspace;

/// The manifest of the model, which is a workspace of its own.
pub(crate) const MODEL: &str = "tests/model/Cargo.toml";

/// Runs all tests, with the plugins at hand in `ORIEL_PLUGINS` and Linux guests in `ORIEL_GUESTS`; the answer is the exit status. With
/// arguments it leaves the model out: they choose among Cargo's tests.
pub(crate) fn run(args: &[OsString]) -> Result<u8> {
    setup::run()?;
    let workspace = Workspace::here()?;
    plugins::build(&workspace, false)?;
    if args.is_empty() {
        model(&workspace)?;
    }
    let mut cargo = child::cargo();
    cargo
        .args(["test", "--workspace"])
        .args(args)
        .env("ORIEL_PLUGINS", workspace.plugins())
        .envs(guests::for_tests().map(|folder| (guests::FOLDER, folder)));
    child::status(&mut cargo)
}

/// The model checks: seconds, once it is built.
fn model(workspace: &Workspace) -> Result<()> {
    let mut cargo = child::cargo();
    cargo
        .args(["run", "--quiet", "--locked", "--manifest-path"])
        .arg(workspace.root.join(MODEL))
        .arg("--target-dir")
        .arg(workspace.target.join("model"));
    child::run(&mut cargo)
}
