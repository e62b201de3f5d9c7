//! `oriel plugin build`: from a project to a plugin.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use oriel_build::{
    c, component, javascript, python, rust, toolchain::Toolchain, workspace::Workspace,
};
use oriel_policy::{Inspection, LoadError, inspect, undeclared};
use serde_json::json;

use super::{code, inspect::print_reach, print_json, project::Project};
use crate::{
    args::{BuildArgs, Language},
    exit::Exit,
    output::say,
};

/// A plugin that was built.
pub(super) struct Built {
    pub(super) file: PathBuf,
    pub(super) inspection: Inspection,
}

/// Builds it, and says what it is.
pub(super) fn run(args: &BuildArgs) -> anyhow::Result<Exit> {
    let project = Project::open(&args.directory)?;
    let file = args.out.clone().unwrap_or_else(|| project.plugin());
    let built = build(&project, &file)?;
    if args.json {
        print_json(&json!({ "file": built.file, "plugin": built.inspection }))?;
        return Ok(Exit::Success);
    }
    let size = built.inspection.size.div_ceil(1024);
    say(format_args!("{} ({size} KiB)", built.file.display()));
    print_reach(&built.inspection);
    Ok(Exit::Success)
}

/// Compiles, makes the component, and puts it into this file, whole or not at all.
pub(super) fn build(project: &Project, file: &Path) -> anyhow::Result<Built> {
    let made = match project.language {
        Language::Rust => rust_module(project),
        Language::C => c_module(project),
        Language::Python => python_policy(project).component(),
        Language::Js => javascript_policy(project).component(),
    };
    let made = made.with_context(|| format!("policy `{}`", project.name))?;
    let length = u64::try_from(made.len()).unwrap_or(u64::MAX);
    code::check(length).context("what was made of it")?;
    let plugin = match project.language {
        Language::Rust | Language::C => component::from_module(&made, &project.manifest)?,
        Language::Python | Language::Js => component::with_manifest(made, &project.manifest),
    };
    let inspection = inspect(&plugin).context("what was built is no policy")?;
    if let Some(right) = undeclared(&inspection) {
        return Err(LoadError::Undeclared(right).into());
    }
    write(file, &plugin)?;
    Ok(Built {
        file: file.to_owned(),
        inspection,
    })
}

fn rust_module(project: &Project) -> anyhow::Result<Vec<u8>> {
    let manifest = project.folder.join("Cargo.toml");
    let workspace =
        Workspace::load(Some(&manifest)).context("its Cargo.toml cannot be understood")?;
    let folder = fs::canonicalize(&project.folder)?;
    let here = |folder_of: &Path| fs::canonicalize(folder_of).is_ok_and(|path| path == folder);
    let policy = workspace
        .policies
        .iter()
        .find(|policy| here(&policy.folder));
    ensure!(
        policy.is_some(),
        "its package makes no Wasm module: add `crate-type = [\"cdylib\", \"rlib\"]` to `[lib]` in its \
         Cargo.toml"
    );
    let policy = policy.context("found above")?;
    let toolchain = Toolchain::find()?;
    rust::module(policy, &workspace, &toolchain)
        .context("it does not compile; what the compiler says stands above")
}

/// Everything in src/ and in vendor/oriel-c/ that is C.
fn c_module(project: &Project) -> anyhow::Result<Vec<u8>> {
    let library = project.folder.join("vendor/oriel-c");
    let mut sources = c_sources(&project.folder.join("src"))?;
    ensure!(
        !sources.is_empty(),
        "there is no policy in its src/: neither policy.py nor policy.js, nor any C"
    );
    sources.extend(c_sources(&library)?);
    c::module(&c::Sources {
        wit: project.folder.join("wit"),
        sources,
        include: library,
        work: project.folder.join("target/c"),
    })
}

pub(super) fn python_policy(project: &Project) -> python::Policy {
    python::Policy {
        wit: project.folder.join("wit"),
        sources: project.folder.join("src"),
        work: project.folder.join("target/python"),
    }
}

fn javascript_policy(project: &Project) -> javascript::Policy {
    javascript::Policy {
        wit: project.folder.join("wit"),
        sources: project.folder.join("src"),
        work: project.folder.join("target/js"),
    }
}

fn c_sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let is_c = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "c");
    let mut sources: Vec<_> = paths.into_iter().filter(is_c).collect();
    sources.sort();
    Ok(sources)
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unfinished = file.with_extension(format!("{}.unfinished", std::process::id()));
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&unfinished, bytes))
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("{} cannot be written", file.display()))
}
