//! Fuzzing: builds the targets of `tests/fuzz/targets` with coverage, and runs them for a while.
//!
//! It works on the stable compiler: what libFuzzer needs are a pass of LLVM's and its arguments,
//! which are those of cargo-fuzz. What is fuzzed, and from which inputs, is `oriel-fuzz`'s business.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup;
use oriel_build::child;
use oriel_build::workspace::Workspace;

/// The package of the binaries, which is not of the workspace.
pub(crate) const MANIFEST: &str = "tests/fuzz/targets/Cargo.toml";

/// Every target, as the binaries are called.
const TARGETS: [&str; 7] = [
    "btf",
    "frame",
    "gdb",
    "handshake",
    "journal",
    "kallsyms",
    "session",
];

/// What is compiled for; named, so that build scripts and macros are not instrumented.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Coverage as libFuzzer reads it.
const COVERAGE: [&str; 8] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg",
    "fuzzing",
];

/// The bounds of a run: bytes of an input, MiB of memory, seconds for one input.
const BOUNDS: [&str; 3] = ["-max_len=8192", "-rss_limit_mb=512", "-timeout=10"];

/// Where things are.
struct Places {
    manifest: PathBuf,
    seeds: PathBuf,
    /// All that is made: programs, inputs that were found, and crashes.
    made: PathBuf,
}

/// Runs one target, or all of them, for so many seconds each; the answer is the exit status.
pub(crate) fn run(seconds: u32, target: Option<&str>) -> Result<u8> {
    let chosen = chosen(target)?;
    setup::run_for_fuzzing()?;
    let places = Places::of(&Workspace::here()?);
    child::run(&mut places.build())?;
    for target in chosen {
        eprintln!("fuzz: {target}: {seconds} s");
        let status = places.fuzz(target, seconds)?;
        if status != 0 {
            places.explain(target);
            return Ok(status);
        }
    }
    Ok(0)
}

fn chosen(target: Option<&str>) -> Result<Vec<&'static str>> {
    let Some(wanted) = target else {
        return Ok(TARGETS.to_vec());
    };
    match TARGETS.into_iter().find(|known| *known == wanted) {
        Some(known) => Ok(vec![known]),
        None => bail!(
            "no target is called {wanted:?}: there are {}",
            TARGETS.join(", ")
        ),
    }
}

impl Places {
    fn of(workspace: &Workspace) -> Self {
        Self {
            manifest: workspace.root.join(MANIFEST),
            seeds: workspace.root.join("tests/fuzz/corpus"),
            made: workspace.target.join("fuzz"),
        }
    }

    fn build(&self) -> Command {
        let mut cargo = child::cargo();
        cargo
            .args(["build", "--release", "--target", PLATFORM])
            .arg("--manifest-path")
            .arg(&self.manifest)
            .arg("--target-dir")
            .arg(&self.made)
            .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
        cargo
    }

    fn program(&self, target: &str) -> PathBuf {
        self.made.join(PLATFORM).join("release").join(target)
    }

    fn artifacts(&self, target: &str) -> PathBuf {
        self.made.join("artifacts").join(target)
    }

    /// New inputs go into the first folder; those of the repository are only read.
    fn fuzz(&self, target: &str, seconds: u32) -> Result<u8> {
        let found = self.made.join("corpus").join(target);
        let artifacts = self.artifacts(target);
        for folder in [&found, &artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        let mut fuzzer = Command::new(self.program(target));
        fuzzer
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg("-print_final_stats=1")
            .args(BOUNDS)
            .arg(found)
            .arg(self.seeds.join(target));
        child::status(&mut fuzzer)
    }

    /// Says how to run again what was found last.
    fn explain(&self, target: &str) {
        let program = self.program(target);
        match newest(&self.artifacts(target)) {
            Some(artifact) => eprintln!(
                "fuzz: {target} has found something. To run it again:\n    {} {}\n\
                 Once it is mended, put the file into {} under a name that says what it is.",
                program.display(),
                artifact.display(),
                self.seeds.join(target).display(),
            ),
            None => eprintln!("fuzz: {target} failed, and has left no input behind"),
        }
    }
}

/// The file that was written last.
fn newest(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.max_by_key(|file| fs::metadata(file).and_then(|known| known.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_does_not_exist_is_answered_with_those_that_do() -> Result<()> {
        assert_eq!(chosen(Some("session"))?, ["session"]);
        assert_eq!(chosen(None)?, TARGETS);
        let error = chosen(Some("sessoin"))
            .expect_err("there is none")
            .to_string();
        assert!(
            error.contains("sessoin") && error.contains("handshake"),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn each_target_has_a_binary_and_a_corpus() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz");
        for target in TARGETS {
            let program = fuzz.join(format!("targets/src/bin/{target}.rs"));
            assert!(program.is_file(), "{}", program.display());
            assert!(fuzz.join("corpus").join(target).is_dir(), "{target}");
        }
        let programs = fs::read_dir(fuzz.join("targets/src/bin"));
        assert_eq!(programs.map(Iterator::count).ok(), Some(TARGETS.len()));
    }
}
