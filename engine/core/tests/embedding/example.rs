//! The example is a whole VMM with a policy in Wasm: it runs, and the policy stops the attacker.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::vmm::kvm;

/// Where Cargo builds to for the profile of these tests.
fn built() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(2).unwrap().to_owned()
}

/// The policy that `cargo xtask plugins` has built.
fn policy() -> PathBuf {
    let directory = std::env::var_os("ORIEL_PLUGINS").map(PathBuf::from);
    let beside = || built().parent().map(|target| target.join("plugins"));
    directory.or_else(beside).unwrap().join("msr-guard.wasm")
}

fn assert_there(file: &Path, command: &str) {
    assert!(file.is_file(), "{}: run `{command}`", file.display());
}

/// Cargo builds the examples with the tests, unless it is asked for one test target only; then what
/// runs here may be an older one.
#[test]
fn the_example_runs_a_policy_that_stops_the_attacker() {
    if kvm().is_none() {
        return;
    }
    let (example, policy) = (built().join("examples/embed"), policy());
    assert_there(&example, "cargo build -p oriel-engine --example embed");
    assert_there(&policy, "cargo xtask plugins");
    let output = Command::new(example).arg(policy).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let told = "guest: .\nvmm: the guest ended with 0, after 2 events\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), told, "{stderr}");
}
