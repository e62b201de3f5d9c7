//! Installs what this machine lacks. Says one line for each step; does nothing twice.

mod languages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::toolchain;
use oriel_build::cache::Cache;
use oriel_build::child;

/// Programs that are needed, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 1] = [("cc", "gcc libc6-dev")];

/// What real Linux guests are emulated by, in the tests and the demo.
const EMULATOR: [(&str, &str); 1] = [("qemu-system-x86_64", "qemu-system-x86")];

/// What reads the types of a kernel's file, for tests to compare with.
const TYPES: [(&str, &str); 1] = [("bpftool", "bpftool")];

/// libFuzzer is compiled here.
const FUZZING_PROGRAMS: [(&str, &str); 1] = [("c++", "g++")];

/// The release of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Installs what building, running and testing need.
pub(crate) fn run() -> Result<()> {
    say("programs", || programs(&PROGRAMS))?;
    say("Wasm toolchain", toolchain::set_up)?;
    say("C for policies", || or_left_out(c_programs()))?;
    say("Python for policies", || or_left_out(languages::python()))?;
    say("JavaScript for policies", || {
        or_left_out(languages::javascript())
    })?;
    say("QEMU for guests", || or_left_out(programs(&EMULATOR)))?;
    say("types of guests", || or_left_out(programs(&TYPES)))
}

/// Clang and its linker.
fn c_programs() -> Result<String> {
    programs(&oriel_build::c::PROGRAMS)
}

/// Policies in a language, and the tests about them, are left out where it cannot be had.
fn or_left_out(outcome: Result<String>) -> Result<String> {
    Ok(outcome.unwrap_or_else(|error| format!("left out: {error:#}; its tests are left out too")))
}

/// And what only `ci` needs.
pub(crate) fn run_for_ci() -> Result<()> {
    run()?;
    say("cargo-deny", cargo_deny)
}

/// What fuzzing needs, which is no Wasm.
pub(crate) fn run_for_fuzzing() -> Result<()> {
    say("programs", || programs(&PROGRAMS))?;
    say("programs for fuzzing", || programs(&FUZZING_PROGRAMS))
}

/// Where `cargo-deny` is once it is set up.
pub(crate) fn cargo_deny_program(cache: &Cache) -> PathBuf {
    cargo_deny_folder(cache).join("bin/cargo-deny")
}

fn cargo_deny_folder(cache: &Cache) -> PathBuf {
    cache.join(format!("tools/cargo-deny-{CARGO_DENY}"))
}

fn say(name: &str, step: impl FnOnce() -> Result<String>) -> Result<()> {
    let outcome = step().with_context(|| format!("setting up: {name}"))?;
    eprintln!("setup: {name}: {outcome}");
    Ok(())
}

fn programs(needed: &[(&str, &'static str)]) -> Result<String> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(program, _)| child::find(program).is_none())
        .flat_map(|(_, packages)| packages.split(' '))
        .collect();
    if missing.is_empty() {
        return Ok("already there".into());
    }
    if !apt::is_here() {
        bail!("install what Debian calls {}", missing.join(" "));
    }
    apt::install(&missing)?;
    Ok(format!("installed {}", missing.join(" ")))
}

fn cargo_deny() -> Result<String> {
    let cache = Cache::open()?;
    let _lock = cache.lock()?;
    if cargo_deny_program(&cache).exists() {
        return Ok(format!("already there ({CARGO_DENY})"));
    }
    eprintln!("setup: compiling cargo-deny {CARGO_DENY}: some minutes, once");
    let place = cargo_deny_folder(&cache);
    cache.make(&place, install_cargo_deny)?;
    Ok(format!("made ({})", place.display()))
}

fn install_cargo_deny(at: &Path) -> Result<()> {
    let work = at.join("work");
    let mut cargo = child::cargo();
    cargo
        .args(["install", "--locked", "--quiet", "cargo-deny"])
        .args(["--version", CARGO_DENY, "--root"])
        .arg(at)
        .env("CARGO_TARGET_DIR", &work)
        .stdin(Stdio::null());
    child::run(&mut cargo)?;
    fs::remove_dir_all(work).context("removing what cargo-deny was compiled in")
}
