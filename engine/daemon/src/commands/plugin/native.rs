//! The tests of a policy that run without Oriel, in its own language: how each language's are started. Builds
//! no plugin.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use oriel_build::{child, javascript, python};
use serde::Serialize;

use super::{build, project::Project};
use crate::args::Language;

/// What came of them.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Native {
    Passed,
    Failed,
    /// Left out, or there are none.
    Skipped,
}

/// Runs them, with all their words on standard error.
pub(super) fn run(project: &Project) -> anyhow::Result<Native> {
    let tests = match project.language {
        Language::Rust => Some(in_rust(project)),
        Language::C => None,
        Language::Python => in_python(project)?,
        Language::Js => in_javascript(project)?,
    };
    let Some(mut tests) = tests else {
        return Ok(Native::Skipped);
    };
    tests.stdin(Stdio::null()).stdout(io::stderr());
    Ok(match child::status(&mut tests)? {
        0 => Native::Passed,
        _ => Native::Failed,
    })
}

fn in_rust(project: &Project) -> Command {
    let mut cargo = child::cargo();
    cargo
        .args(["test", "--quiet", "--manifest-path"])
        .arg(project.folder.join("Cargo.toml"));
    cargo
}

/// `tests/test_*.py`, with the policy's modules and the bindings of its world in the path.
fn in_python(project: &Project) -> anyhow::Result<Option<Command>> {
    let folder = project.folder.join("tests");
    if files(&folder, "test_", ".py")?.is_empty() {
        return Ok(None);
    }
    let policy = build::python_policy(project);
    let bindings = policy.bindings()?;
    let mut python = python::interpreter(&[&policy.sources, &bindings])?;
    python
        .args(["-m", "unittest", "discover", "--start-directory"])
        .arg(folder);
    Ok(Some(python))
}

/// `tests/*.test.mjs`, with what the project has in place of its imports.
fn in_javascript(project: &Project) -> anyhow::Result<Option<Command>> {
    let tests = files(&project.folder.join("tests"), "", ".test.mjs")?;
    if tests.is_empty() {
        return Ok(None);
    }
    let mut node = javascript::node()?;
    let imports = fs::canonicalize(project.folder.join("vendor/oriel-js/register.mjs"));
    if let Ok(imports) = imports {
        node.arg("--import").arg(imports);
    }
    node.arg("--test").args(tests);
    Ok(Some(node))
}

/// The files in a directory whose names begin and end so, in order; none where there is no directory.
fn files(folder: &Path, begins: &str, ends: &str) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).and_then(|all| all.collect::<io::Result<Vec<_>>>());
    let entries = entries.with_context(|| format!("{} cannot be read", folder.display()))?;
    let suits = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy());
        name.is_some_and(|name| name.starts_with(begins) && name.ends_with(ends))
    };
    let mut files: Vec<_> = entries.iter().map(|entry| entry.path()).collect();
    files.retain(suits);
    files.sort();
    Ok(files)
}
