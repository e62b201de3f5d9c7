//! What makes components of policies in Python and in JavaScript: pinned releases, in the cache. Installs nothing
//! beside the cache but Debian's interpreters.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use oriel_build::cache::{self, Cache};
use oriel_build::{child, javascript, python};

use super::programs;
use crate::apt;

/// The oldest Node.js that is tried out.
const NODE: u32 = 20;

/// Which releases there are besides, each with the hash of its content.
const PACKAGE: [(&str, &str); 2] = [
    (
        "package.json",
        include_str!("../../componentize-js/package.json"),
    ),
    (
        "package-lock.json",
        include_str!("../../componentize-js/package-lock.json"),
    ),
];

/// Makes sure that there is componentize-py, and says in a line what that took.
pub(super) fn python() -> Result<String> {
    programs(&python::PROGRAMS)?;
    kept("componentize-py", python::place, |at| {
        if !has_venv() {
            apt::install(&["python3-venv"])?;
        }
        let environment = at.join("environment");
        child::run(quiet("python3").args(["-m", "venv"]).arg(&environment))?;
        // Its programs would name the place where it was made, which is not where it will be: only its
        // installer is used.
        let mut installer = quiet(environment.join("bin/python"));
        installer
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--only-binary=:all:"])
            .arg("--target")
            .arg(at)
            .arg(format!("componentize-py=={}", python::RELEASE));
        child::run(&mut installer)?;
        cache::remove(&environment)
    })
}

/// Debian has a Python that cannot make an environment.
fn has_venv() -> bool {
    child::output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok()
}

/// The same of ComponentizeJS.
pub(super) fn javascript() -> Result<String> {
    programs(&javascript::PROGRAMS)?;
    let version = child::output(Command::new("node").arg("--version"))?;
    ensure!(
        major(&version) >= Some(NODE),
        "Node.js {} is too old, it takes {NODE}",
        version.trim()
    );
    kept("ComponentizeJS", javascript::place, |at| {
        for (name, text) in PACKAGE {
            fs::write(at.join(name), text)?;
        }
        let mut npm = quiet("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        child::run(npm.arg("--loglevel=error").current_dir(at))
    })
}

fn kept(
    name: &str,
    place: impl Fn(&Cache) -> PathBuf,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<String> {
    let cache = Cache::open()?;
    let place = place(&cache);
    let there = || format!("already there ({})", place.display());
    if place.exists() {
        return Ok(there());
    }
    let _lock = cache.lock()?;
    if place.exists() {
        return Ok(there());
    }
    eprintln!("setup: installing {name}: some seconds, once");
    cache
        .make(&place, make)
        .with_context(|| format!("{name} cannot be installed"))?;
    Ok(format!("made ({})", place.display()))
}

/// With its output on stderr, like all of setup's.
fn quiet(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(io::stderr());
    command
}

/// The first number of a version such as `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    let digits = version.trim().trim_start_matches('v');
    digits.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_that_of_the_release_that_the_build_looks_for() {
        let wanted = format!(
            "\"@bytecodealliance/componentize-js\": \"{}\"",
            javascript::RELEASE
        );
        assert!(PACKAGE.iter().all(|(_, text)| text.contains(&wanted)));
    }

    #[test]
    fn the_first_number_of_a_version_is_found() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("nonsense"), None);
    }
}
