//! The active Rust toolchain: what it is and what it has. Only asks.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::TARGET;
use crate::child;

/// A Rust compiler and its files.
pub struct Rustc {
    /// Its release, such as `1.95.0`.
    pub version: String,
    /// The machine it runs on, such as `x86_64-unknown-linux-gnu`.
    host: String,
    sysroot: PathBuf,
}

impl Rustc {
    /// The compiler that Cargo would use here.
    pub fn active() -> Result<Self> {
        let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let about = child::output(Command::new(&program).arg("-vV"))?;
        let sysroot = child::output(Command::new(&program).args(["--print", "sysroot"]))?;
        Ok(Self {
            version: line(&about, "release: ")?,
            host: line(&about, "host: ")?,
            sysroot: sysroot.trim_end().into(),
        })
    }

    /// Whether it can compile for Wasm as it is.
    pub fn has_target(&self) -> bool {
        holds_std(&libraries(&self.sysroot))
    }

    /// The linker that comes with it and also links Wasm.
    pub fn lld(&self) -> PathBuf {
        let tools = self.sysroot.join("lib/rustlib").join(&self.host);
        tools.join("bin/rust-lld")
    }
}

/// Where a sysroot keeps the compiled libraries of the Wasm target.
pub fn libraries(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib").join(TARGET).join("lib")
}

/// Whether there is a compiled standard library in this directory.
pub fn holds_std(folder: &Path) -> bool {
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(is_std))
}

fn line(text: &str, prefix: &str) -> Result<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(prefix))
        .map(str::to_owned)
        .with_context(|| format!("`rustc -vV` does not say `{prefix}`"))
}
