//! Compiling one Rust package to a core module.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::child;
use crate::toolchain::{self, TARGET, Toolchain};
use crate::workspace::{Policy, Workspace};

/// Compiles a policy and gives the bytes of its module. What the compiler says goes to stderr.
///
/// # Errors
/// If Cargo cannot be started, or does not succeed.
pub fn module(policy: &Policy, workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let wasm = workspace.target.join("wasm");
    child::run(&mut compile(policy, workspace, toolchain, &wasm))?;
    let folder = wasm.join(TARGET).join("plugin");
    let module = folder.join(format!("{}.wasm", policy.library));
    fs::read(&module).with_context(|| format!("reading {}", module.display()))
}

/// Compiles one policy. Only as `cdylib`: with `rlib` beside it, Cargo would leave out LTO.
fn compile(policy: &Policy, workspace: &Workspace, toolchain: &Toolchain, into: &Path) -> Command {
    let cargo_home = toolchain::cargo_home();
    let mut cargo = toolchain.cargo(&[(&cargo_home, "/cargo"), (&workspace.root, "/src")]);
    cargo
        .args(["rustc", "--quiet", "--lib", "--crate-type=cdylib"])
        .args(["--profile=plugin", "--target", TARGET, "--manifest-path"])
        .arg(policy.folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(into);
    cargo
}
