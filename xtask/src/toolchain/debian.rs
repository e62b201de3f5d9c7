//! A private toolchain out of Debian's packages, for machines whose rustup cannot add a target.
//!
//! Debian ships a compiler together with the sources of its standard library. Both are
//! unpacked into the cache; nothing is installed. The standard library is compiled there for
//! Wasm once, by the Cargo that is here.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use super::rustc::Rustc;
use super::{TARGET, library};
use crate::apt;
use crate::cache::{self, Cache};

/// The package with the compiler.
const COMPILER: &str = "rustc-web";

/// Changes when the way the toolchain is made does.
const RECIPE: u32 = 1;

/// The newest private toolchain made for this compiler.
pub(super) fn installed(cache: &Cache, active: &Rustc) -> Option<PathBuf> {
    let suffix = suffix(active);
    fs::read_dir(cache.join("wasm"))
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(&suffix) && is_new_enough(path, active))
        .max_by_key(|path| modified(path))
}

/// Whether the toolchain of this path is new enough for what the active one compiles.
fn is_new_enough(toolchain: &Path, active: &Rustc) -> bool {
    toolchain
        .file_name()
        .is_some_and(|name| suits(&name.to_string_lossy(), &active.version))
}

/// Whether a compiler of this version accepts what says that it needs one like the active.
fn suits(version: &str, active: &str) -> bool {
    series(version) >= series(active)
}

/// The first two numbers of a version.
fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|sign: char| !sign.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The program that runs the compiler of a private toolchain.
pub(super) fn rustc(toolchain: &Path) -> PathBuf {
    toolchain.join("rustc")
}

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

fn name(version: &str, active: &Rustc) -> String {
    // A colon would end the path in a list of paths.
    format!("{}{}", version.replace(':', "_"), suffix(active))
}

fn suffix(active: &Rustc) -> String {
    format!("-rustc-{}-recipe-{RECIPE}", active.version)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_compiler_does_not_do() {
        for (version, does) in [
            ("1.96.0+dfsg1-1~deb12u2", true),
            ("1.95.0", true),
            ("1.85.0+dfsg3-1~deb12u3-rustc-1.95.0-recipe-1", false),
            ("nonsense", false),
        ] {
            assert_eq!(suits(version, "1.95.0"), does, "{version}");
        }
    }
}
