//! Private toolchains in the cache: which there are, and which of them does. Makes none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::rustc::Rustc;
use crate::cache::Cache;

/// Changes when the way a toolchain is made does.
const RECIPE: u32 = 1;

/// The newest private toolchain made for this compiler.
pub fn installed(cache: &Cache, active: &Rustc) -> Option<PathBuf> {
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
pub fn suits(version: &str, active: &str) -> bool {
    series(version) >= series(active)
}

/// The first two numbers of a version.
fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|sign: char| !sign.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The program that runs the compiler of a private toolchain.
pub fn rustc(toolchain: &Path) -> PathBuf {
    toolchain.join("rustc")
}

/// What the toolchain made of a compiler of this version is called.
pub fn name(version: &str, active: &Rustc) -> String {
    // A colon would end the path in a list of paths.
    format!("{}{}", version.replace(':', "_"), suffix(active))
}

fn suffix(active: &Rustc) -> String {
    format!("-rustc-{}-recipe-{RECIPE}", active.version)
}

/// When a toolchain was made, or last found to be the newest.
pub fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
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
