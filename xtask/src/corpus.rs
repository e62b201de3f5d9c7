//! The corpus of built policies, `tests/data/policies`: binaries that were built once and must load and
//! judge for ever. Adds a member with where it comes from; the tests are who loads and runs it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};

use oriel_build::child;
use oriel_build::workspace::Workspace;

const FOLDER: &str = "tests/data/policies";
const LIST: &str = "corpus.json";
/// What all members together may have, in bytes: they are in every clone for ever.
const MOST: u64 = 1 << 20;
const PACKAGE: &str = "oriel:introspection/";

/// What is told of a new member.
#[derive(Args)]
pub(crate) struct Add {
    /// The policy, built.
    file: PathBuf,
    /// Its name in the corpus; its files are called so.
    #[arg(long)]
    name: String,
    /// What it is written in.
    #[arg(long)]
    language: String,
    /// What its sources are in the commit that is checked out: a folder, or the command that makes them.
    #[arg(long)]
    source: String,
    /// What a guest does, on the mock machine.
    #[arg(long, value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// What it answers there, event by event, as `msr:deny`.
    #[arg(long = "verdict", value_name = "KIND:VERDICT", required = true)]
    verdicts: Vec<String>,
}

/// A line of the list. The tests read the same.
#[derive(Debug, Deserialize, Serialize)]
struct Member {
    name: String,
    language: String,
    source: String,
    commit: String,
    wit: String,
    bytes: u64,
    sha256: String,
    verdicts: Vec<String>,
}

/// Adds a member.
pub(crate) fn add(told: &Add) -> Result<()> {
    let workspace = Workspace::here()?;
    let folder = workspace.root.join(FOLDER);
    let code = fs::read(&told.file).with_context(|| format!("reading {}", told.file.display()))?;
    let mut members = list(&folder)?;
    let name = &told.name;
    ensure!(
        members.iter().all(|member| member.name != *name),
        "{name} is in the corpus already, and stays as it is: take another name"
    );
    let member = member(told, &code, commit(&workspace.root)?)?;
    members.push(member);
    let sum: u64 = members.iter().map(|member| member.bytes).sum();
    ensure!(
        sum <= MOST,
        "the corpus would have {sum} bytes, and {MOST} are enough"
    );
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    put(&folder.join(format!("{name}.wasm")), &code)?;
    let scenario = &told.scenario;
    let scenario = fs::read(scenario).with_context(|| format!("reading {}", scenario.display()))?;
    put(&folder.join(format!("{name}.toml")), &scenario)?;
    put(
        &folder.join(LIST),
        (serde_json::to_string_pretty(&members)? + "\n").as_bytes(),
    )?;
    eprintln!("corpus: {name} added; {sum} bytes in all");
    Ok(())
}

fn member(told: &Add, code: &[u8], commit: String) -> Result<Member> {
    Ok(Member {
        name: told.name.clone(),
        language: told.language.clone(),
        source: told.source.clone(),
        commit,
        wit: wit_version(code)?,
        bytes: code.len() as u64,
        sha256: Sha256::digest(code)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        verdicts: told.verdicts.clone(),
    })
}

fn list(folder: &Path) -> Result<Vec<Member>> {
    let path = folder.join(LIST);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("understanding {}", path.display()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// The commit that is checked out.
fn commit(root: &Path) -> Result<String> {
    let mut git = Command::new("git");
    let told = child::output(git.args(["rev-parse", "HEAD"]).current_dir(root))?;
    Ok(told.trim().to_owned())
}

/// The version of `oriel:introspection` that a component names.
fn wit_version(code: &[u8]) -> Result<String> {
    let mut versions = BTreeSet::new();
    for payload in Parser::new(0).parse_all(code) {
        let payload = payload.context("it is no component")?;
        if let Payload::ComponentImportSection(imports) = payload {
            for import in imports {
                versions.extend(version(import?.name.name));
            }
        } else if let Payload::ComponentExportSection(exports) = payload {
            for export in exports {
                versions.extend(version(export?.name.name));
            }
        }
    }
    let versions: Vec<_> = versions.into_iter().collect();
    match &versions[..] {
        [version] => Ok(version.clone()),
        [] => bail!("it names no interface of {PACKAGE}: it is no policy"),
        several => bail!(
            "it names several versions of {PACKAGE}: {}",
            several.join(", ")
        ),
    }
}

fn version(name: &str) -> Option<String> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_interface_is_behind_its_name() {
        let known = version("oriel:introspection/judge-msr@0.1.0");
        assert_eq!(known.as_deref(), Some("0.1.0"));
        assert_eq!(version("wasi:cli/exit@0.2.0"), None);
    }

    #[test]
    fn what_is_no_component_has_none() {
        let refused = wit_version(b"\0asm\x01\0\0\0").expect_err("a module");
        assert!(refused.to_string().contains("it is no policy"), "{refused}");
        assert!(wit_version(b"text").is_err());
    }
}
