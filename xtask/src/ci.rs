//! What must hold before a change is taken, quickest first. The first failure ends it.

use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::step::step;
use crate::workspace::Workspace;
use crate::{bindings, child, setup, suite};

/// Runs all steps; the answer is the exit status of the last one, the tests.
pub(crate) fn run() -> Result<u8> {
    let workspace = Workspace::here()?;
    step("setup", setup::run_for_ci)?;
    step("format", || child::run(&mut format()))?;
    step("bindings", || bindings::run(true))?;
    step("licences, sources, bans", || {
        child::run(&mut deny(&workspace)?)
    })?;
    step("clippy", || child::run(&mut clippy()))?;
    step("docs", || child::run(&mut docs()))?;
    step("tests", || suite::run(&[]))
}

fn format() -> Command {
    let mut cargo = child::cargo();
    cargo.args(["fmt", "--all", "--check"]);
    cargo
}

fn clippy() -> Command {
    let mut cargo = child::cargo();
    cargo
        .args(["clippy", "--workspace", "--all-targets"])
        .args(["--", "-D", "warnings"]);
    cargo
}

fn docs() -> Command {
    let mut cargo = child::cargo();
    cargo
        .args(["doc", "--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    cargo
}

fn deny(workspace: &Workspace) -> Result<Command> {
    let mut deny = Command::new(setup::cargo_deny_program(&Cache::open()?));
    deny.arg("--manifest-path")
        .arg(workspace.root.join("Cargo.toml"))
        .args([
            "check",
            "--hide-inclusion-graph",
            "licenses",
            "sources",
            "bans",
        ]);
    Ok(deny)
}
