//! Policies made into plugins: compiled, componentised, with their manifest inside.
//!
//! ```text
//!   policy crate ─ cargo ─► target/wasm/…/NAME.wasm ─ component ─► target/plugins/NAME.wasm
//!                                                        ▲
//!                                   oriel.json beside its Cargo.toml
//! ```
//! Never looks into a manifest: what it must say is the engine's business.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use oriel_build::toolchain::Toolchain;
use oriel_build::workspace::{Policy, Workspace};
use oriel_build::{component, rust};

/// Builds all policies of a workspace (this one, unless told which).
///
/// With `check` everything but the last writing is done.
pub(crate) fn run(check: bool, manifest_path: Option<&Path>) -> Result<()> {
    build(&Workspace::load(manifest_path)?, check)
}

/// Builds all policies of the workspace into its directory for plugins.
pub(crate) fn build(workspace: &Workspace, check: bool) -> Result<()> {
    let toolchain = Toolchain::find()?;
    for policy in &workspace.policies {
        let name = &policy.name;
        let plugin =
            plugin(policy, workspace, &toolchain).with_context(|| format!("policy `{name}`"))?;
        if check {
            eprintln!("plugins: {name}: {} KiB, not written", plugin.len() / 1024);
        } else {
            let place = workspace.plugins().join(format!("{name}.wasm"));
            write(&place, &plugin)?;
            eprintln!("plugins: {} ({} KiB)", place.display(), plugin.len() / 1024);
        }
    }
    Ok(())
}

/// The bytes of one plugin.
fn plugin(policy: &Policy, workspace: &Workspace, toolchain: &Toolchain) -> Result<Vec<u8>> {
    let manifest = manifest(&policy.folder.join("oriel.json"))?;
    let module = rust::module(policy, workspace, toolchain)?;
    Ok(component::from_module(&module, &manifest)?)
}

/// The manifest's bytes as they are, once they have been seen to be JSON.
fn manifest(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path)
        .with_context(|| format!("a policy needs its manifest, {}", path.display()))?;
    serde_json::from_slice::<serde_json::Value>(&bytes)
        .with_context(|| format!("{} is not JSON", path.display()))?;
    Ok(bytes)
}

/// Puts the bytes there in one go; leaves a file that has them as it is.
fn write(place: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(place).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let unfinished = place.with_extension(format!("{}.unfinished", std::process::id()));
    fs::create_dir_all(place.parent().context("a plugin has a directory")?)?;
    fs::write(&unfinished, bytes)
        .and_then(|()| fs::rename(&unfinished, place))
        .with_context(|| format!("writing {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_is_not_json_is_refused_by_name() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("oriel.json");
        let missing = manifest(&path).expect_err("there is none");
        assert!(missing.to_string().contains("oriel.json"));
        fs::write(&path, "{")?;
        let broken = manifest(&path).expect_err("it is broken");
        assert!(broken.to_string().ends_with("oriel.json is not JSON"));
        Ok(())
    }

    #[test]
    fn a_manifest_is_passed_on_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("oriel.json");
        fs::write(&path, "{ \"b\": 1,\n \"a\": 2 }\n")?;
        assert_eq!(manifest(&path)?, fs::read(&path)?);
        Ok(())
    }
}
