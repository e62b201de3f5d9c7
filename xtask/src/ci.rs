//! What must hold before a change is taken, quickest first. The first failure ends it.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::step::step;
use crate::{bindings, fuzz, setup, suite, wit};
use oriel_build::cache::Cache;
use oriel_build::child;
use oriel_build::workspace::Workspace;

/// The workspaces that dependencies come in with.
const MANIFESTS: [&str; 3] = ["Cargo.toml", fuzz::MANIFEST, suite::MODEL];

/// The packages that leave something heavy out without their features.
const LEAN: [&str; 2] = ["oriel-machine", "oriel-sdk"];

/// How long each fuzz target runs: long enough to see that it does. What it looks for takes hours.
const FUZZING: u32 = 3;

/// Runs all steps; the answer is the exit status of the last one, the tests.
pub(crate) fn run() -> Result<u8> {
    let workspace = Workspace::here()?;
    step("setup", setup::run_for_ci)?;
    step("format", || {
        child::run(&mut format())?;
        let model = workspace.root.join(suite::MODEL);
        child::run(format().arg("--manifest-path").arg(model))
    })?;
    step("bindings", || bindings::run(true))?;
    step("the version rule of wit/", wit::check)?;
    step("licences, sources, bans", || {
        MANIFESTS
            .iter()
            .try_for_each(|manifest| child::run(&mut deny(&workspace, manifest)?))
    })?;
    step("clippy", || child::run(&mut clippy()))?;
    step("clippy, without features", || {
        LEAN.iter()
            .try_for_each(|package| child::run(&mut lean(package)))
    })?;
    step("clippy, the model", || child::run(&mut model(&workspace)))?;
    step("docs", || child::run(&mut docs()))?;
    step("fuzzing, for a moment", fuzzing)?;
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

/// A package as those have it who leave its features out.
fn lean(package: &str) -> Command {
    let mut cargo = child::cargo();
    cargo
        .args(["clippy", "--no-default-features", "-p", package])
        .args(["--", "-D", "warnings"]);
    cargo
}

/// The model, which is a workspace of its own.
fn model(workspace: &Workspace) -> Command {
    let mut cargo = child::cargo();
    cargo
        .args(["clippy", "--locked", "--manifest-path"])
        .arg(workspace.root.join(suite::MODEL))
        .arg("--target-dir")
        .arg(workspace.target.join("model"))
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

fn fuzzing() -> Result<()> {
    let status = fuzz::run(FUZZING, None)?;
    ensure!(status == 0, "a fuzz target has found something");
    Ok(())
}

fn deny(workspace: &Workspace, manifest: &str) -> Result<Command> {
    let mut deny = Command::new(setup::cargo_deny_program(&Cache::open()?));
    deny.arg("--manifest-path")
        .arg(workspace.root.join(manifest))
        .arg("--config")
        .arg(workspace.root.join("deny.toml"))
        .args(["check", "--hide-inclusion-graph"])
        .args(["licenses", "sources", "bans"]);
    Ok(deny)
}
