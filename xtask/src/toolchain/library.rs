//! Compiling the standard library for Wasm, from the sources in a private toolchain.
//!
//! Cargo does it as a side effect of compiling an empty crate (`-Zbuild-std`). The crates that
//! the standard library needs come with its sources, so the network is not asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use oriel_build::toolchain::rustc::{Rustc, holds_std, libraries};
use oriel_build::toolchain::{TARGET, Toolchain, encoded, remapped};
use oriel_build::{cache, child};

const EMPTY_CRATE: &str = "[package]
name = \"empty\"
edition = \"2024\"

[lib]
path = \"empty.rs\"

[workspace]
";

/// Adds the compiled standard library to the toolchain in `at`.
///
/// The empty crate is at the top of it, above the sources: Cargo then names them by relative
/// paths, and what it makes of them is the same wherever the toolchain is.
pub(super) fn compile(at: &Path, active: &Rustc) -> Result<()> {
    fs::write(at.join("Cargo.toml"), EMPTY_CRATE)?;
    fs::write(at.join("empty.rs"), "#![no_std]\n")?;
    child::output(&mut cargo(at, active))?;

    let place = libraries(&at.join("usr"));
    copy_libraries(&at.join("target").join(TARGET).join("release/deps"), &place)?;
    ensure!(holds_std(&place), "Cargo built no standard library");
    ["Cargo.toml", "Cargo.lock", "empty.rs"]
        .iter()
        .try_for_each(|file| fs::remove_file(at.join(file)))?;
    cache::remove(&at.join("target"))
}

fn cargo(at: &Path, active: &Rustc) -> Command {
    let mut cargo = Toolchain::private(at, active).cargo(&[]);
    cargo
        .args(["build", "--release", "-Zbuild-std=std,panic_abort"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(at.join("target"))
        .args(vendored(at))
        .current_dir(at)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(at))
        .stdin(Stdio::null());
    cargo
}

/// Bitcode, without which `lto = true` fails later; and no path of this machine in panics.
fn flags(at: &Path) -> String {
    let mut flags = remapped(&[(at, "/rust")]);
    flags.push("-Cembed-bitcode=yes".into());
    encoded(&flags)
}

/// Arguments that make Cargo take crates from the sources' own copies, if they have them.
fn vendored(at: &Path) -> Vec<String> {
    let folder = sources(at).join("vendor");
    if !folder.is_dir() {
        return Vec::new();
    }
    vec![
        "--offline".into(),
        "--config=source.crates-io.replace-with='vendored'".into(),
        format!("--config=source.vendored.directory='{}'", folder.display()),
    ]
}

fn sources(at: &Path) -> PathBuf {
    at.join("usr/lib/rustlib/src/rust/library")
}

fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libempty-") {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
