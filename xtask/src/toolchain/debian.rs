//! A private toolchain out of Debian's packages, for machines whose rustup cannot add a target.
//!
//! Debian ships a compiler together with the sources of its standard library. Both are
//! unpacked into the cache; nothing is installed. The standard library is compiled there for
//! Wasm once, by the Cargo that is here.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use oriel_build::cache::{self, Cache};
use oriel_build::toolchain::kept::{installed, modified, name, rustc, suits};
use oriel_build::toolchain::{TARGET, rustc::Rustc};

use super::library;
use crate::apt;

/// The package with the compiler.
const COMPILER: &str = "rustc-web";

/// Makes the toolchain if it is not there or Debian has a newer one; says in a line which.
///
/// Asks apt only if it has heard from its mirrors since the last time: asking takes a second.
pub(super) fn set_up(cache: &Cache, active: &Rustc) -> Result<String> {
    let current = installed(cache, active);
    if let Some(current) = &current
        && modified(current) >= apt::last_update()
    {
        return Ok(there(current));
    }
    ensure!(
        apt::is_here(),
        "this rustc cannot compile for {TARGET}: run `rustup target add {TARGET}`, then this again"
    );
    let _lock = cache.lock()?;
    match (apt::version(COMPILER)?, current) {
        (Some(version), _) if suits(&version, &active.version) => {
            set_up_version(&version, cache, active)
        }
        (_, Some(current)) => Ok(there(&current)),
        // Never updated, or too long ago: what apt knows is missing or too old.
        (_, None) => set_up_version(&newest(active)?, cache, active),
    }
}

fn newest(active: &Rustc) -> Result<String> {
    let version = apt::version_after_update(COMPILER)?;
    ensure!(
        suits(&version, &active.version),
        "Debian's {COMPILER} {version} is older than rustc {}: run `rustup target add {TARGET}`, then this again",
        active.version
    );
    Ok(version)
}

fn set_up_version(version: &str, cache: &Cache, active: &Rustc) -> Result<String> {
    let place = cache.join("wasm").join(name(version, active));
    if place.exists() {
        touch(&place)?;
        return Ok(there(&place));
    }
    eprintln!("setup: making a toolchain for Wasm from {COMPILER} {version}: about a minute");
    cache.make(&place, |at| make(at, version, active))?;
    Ok(format!("made ({})", place.display()))
}

fn there(place: &Path) -> String {
    format!("already there ({})", place.display())
}

fn touch(path: &Path) -> Result<()> {
    File::open(path)?.set_modified(SystemTime::now())?;
    Ok(())
}

/// Fills `at` with a toolchain.
fn make(at: &Path, version: &str, active: &Rustc) -> Result<()> {
    fetch(at, version)?;
    write_wrapper(at)?;
    library::compile(at, active)?;
    // The sources are three quarters of it, and done with.
    ["packages", "usr/src", "usr/share", "usr/libexec"]
        .iter()
        .try_for_each(|done_with| cache::remove(&at.join(done_with)))
}

fn fetch(at: &Path, version: &str) -> Result<()> {
    let packages = at.join("packages");
    fs::create_dir(&packages)?;
    apt::download(&package_names(version)?, &packages)?;
    for package in fs::read_dir(&packages)? {
        apt::unpack(&package?.path(), at)?;
    }
    Ok(())
}

/// The compiler, the sources and the libraries it needs; the series are apt's to say.
fn package_names(version: &str) -> Result<Vec<String>> {
    let std = apt::dependency("libstd-rust-web-dev", version, "libstd-rust-web-")?;
    let llvm = apt::dependency(&std, version, "libllvm")?;
    let mut names = [COMPILER, "rust-web-src", "libstd-rust-web-dev", &std]
        .map(|package| format!("{package}={version}"))
        .to_vec();
    names.push(llvm);
    Ok(names)
}

/// Writes the program that runs the compiler with the libraries beside it.
fn write_wrapper(at: &Path) -> Result<()> {
    let folder = shared_libraries(at)?;
    let script = format!(
        "#!/bin/sh\nhere=${{0%/*}}\n\
         LD_LIBRARY_PATH=\"$here/usr/lib/{folder}\" exec \"$here/usr/bin/rustc\" \"$@\"\n"
    );
    fs::write(rustc(at), script)?;
    fs::set_permissions(rustc(at), fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The name of the directory in `usr/lib` that holds the compiler's library.
fn shared_libraries(at: &Path) -> Result<String> {
    fs::read_dir(at.join("usr/lib"))?
        .flatten()
        .find(|folder| holds_driver(&folder.path()))
        .and_then(|folder| folder.file_name().into_string().ok())
        .context("the package has no librustc_driver in usr/lib")
}

fn holds_driver(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.file_name().into_string().ok())
        .any(|name| name.starts_with("librustc_driver"))
}
