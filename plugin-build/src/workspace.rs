//! Where things are in the workspace, and which of its packages are policies.
//!
//! Asks Cargo, so that a new policy needs no mention here.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::child;

/// A Cargo workspace.
pub struct Workspace {
    /// Where its `Cargo.toml` is.
    pub root: PathBuf,
    /// Where Cargo puts what it builds.
    pub target: PathBuf,
    /// Its policies: the packages that build a `cdylib`.
    pub policies: Vec<Policy>,
}

/// A package that becomes a plugin.
#[derive(Debug, PartialEq)]
pub struct Policy {
    /// The package's name, and the plugin's.
    pub name: String,
    /// What the file that Cargo builds is called, without its extension.
    pub library: String,
    /// Where its `Cargo.toml` is, and `oriel.json` beside it.
    pub folder: PathBuf,
}

impl Workspace {
    /// The workspace around the current directory.
    pub fn here() -> Result<Self> {
        Self::load(None)
    }

    /// The workspace of this `Cargo.toml`, or of the current directory.
    pub fn load(manifest: Option<&Path>) -> Result<Self> {
        let mut cargo = child::cargo();
        cargo.args(["metadata", "--no-deps", "--format-version=1"]);
        if let Some(manifest) = manifest {
            cargo.arg("--manifest-path").arg(manifest);
        }
        Self::from_metadata(&child::output(&mut cargo)?)
    }

    /// Where the plugins go.
    pub fn plugins(&self) -> PathBuf {
        self.target.join("plugins")
    }

    fn from_metadata(json: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(json).context("reading cargo metadata")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            policies: metadata.packages.into_iter().filter_map(policy).collect(),
        })
    }
}

fn policy(package: Package) -> Option<Policy> {
    let is_cdylib = |target: &Target| target.crate_types.iter().any(|kind| kind == "cdylib");
    let library = package.targets.into_iter().find(is_cdylib)?;
    Some(Policy {
        name: package.name,
        library: library.name.replace('-', "_"),
        folder: package.manifest_path.parent()?.into(),
    })
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_with_a_cdylib_is_a_policy() -> Result<()> {
        let workspace = Workspace::from_metadata(
            r#"{"workspace_root": "/w", "target_directory": "/t", "packages": [
                {"name": "tool", "manifest_path": "/w/tool/Cargo.toml",
                 "targets": [{"name": "tool", "crate_types": ["bin"]}]},
                {"name": "a-guard", "manifest_path": "/w/plugins/guard/Cargo.toml",
                 "targets": [{"name": "a_guard", "crate_types": ["cdylib", "rlib"]}]}]}"#,
        )?;
        let guard = Policy {
            name: "a-guard".into(),
            library: "a_guard".into(),
            folder: "/w/plugins/guard".into(),
        };
        assert_eq!(workspace.policies, [guard]);
        assert_eq!(workspace.plugins(), Path::new("/t/plugins"));
        Ok(())
    }
}
