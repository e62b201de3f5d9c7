//! What policies are compiled with: the active toolchain where it has the Wasm target, else the
//! private one that `cargo xtask setup` has left in the cache.
//!
//! ```text
//!   active rustc ── has wasm32-unknown-unknown? ── yes ─► used as it is
//!                                               └─ no ──► CACHE/wasm/<version>  (kept)
//! ```
//! Finds and runs; never makes one, and never changes the toolchains of the machine.

pub mod kept;
pub mod rustc;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::child;
use rustc::Rustc;

/// The target that policies are compiled for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// A toolchain that can compile policies.
pub enum Toolchain {
    /// The one that compiles everything else.
    Active,
    /// One of our own.
    Private {
        /// Where it is.
        folder: PathBuf,
        /// The linker, which is the active toolchain's.
        linker: PathBuf,
    },
}

impl Toolchain {
    /// The toolchain that `setup` left.
    ///
    /// # Errors
    /// If there is none yet.
    pub fn find() -> Result<Self> {
        let active = Rustc::active()?;
        if active.has_target() {
            return Ok(Self::Active);
        }
        let installed = kept::installed(&Cache::open()?, &active).context(
            "this rustc cannot compile for wasm32-unknown-unknown: run `rustup target add \
             wasm32-unknown-unknown`, or in a checkout of Oriel `cargo xtask setup`",
        )?;
        Ok(Self::private(&installed, &active))
    }

    /// The private one in this directory, with the linker of the active one.
    pub fn private(installed: &Path, active: &Rustc) -> Self {
        Self::Private {
            folder: installed.into(),
            linker: active.lld(),
        }
    }

    /// Cargo, set to compile with this toolchain whatever flags are in force for other code.
    ///
    /// The given paths are left out of what is compiled: same sources, same bytes, wherever
    /// the checkout is. (The toolchain's own being among the flags, Cargo compiles anew with
    /// another one.)
    pub fn cargo(&self, hidden: &[(&Path, &str)]) -> Command {
        let mut cargo = child::cargo();
        let mut flags = remapped(hidden);
        if let Self::Private { folder, linker } = self {
            flags.extend(remapped(&[(folder, "/rust")]));
            cargo
                .env("RUSTC", kept::rustc(folder))
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        cargo
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", encoded(&flags))
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "");
        cargo
    }
}

/// Where Cargo keeps the sources of dependencies.
pub fn cargo_home() -> PathBuf {
    let home = || Path::new(&env::var_os("HOME").unwrap_or_default()).join(".cargo");
    env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

/// Flags that leave paths out of what is compiled: each is named otherwise.
pub fn remapped(hidden: &[(&Path, &str)]) -> Vec<String> {
    hidden
        .iter()
        .map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
        .collect()
}

/// Flags as Cargo takes them when they may hold spaces.
pub fn encoded(flags: &[String]) -> String {
    flags.join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn flags_for_other_code_do_not_reach_policies() {
        let cargo = Toolchain::Active.cargo(&[(Path::new("/a b"), "/src")]);
        let variables: Vec<_> = cargo.get_envs().collect();
        let flags = OsStr::new("--remap-path-prefix=/a b=/src");
        assert!(variables.contains(&(OsStr::new("RUSTFLAGS"), None)));
        assert!(variables.contains(&(OsStr::new("CARGO_ENCODED_RUSTFLAGS"), Some(flags))));
    }
}
