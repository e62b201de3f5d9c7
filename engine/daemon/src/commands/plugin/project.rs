//! A policy's project: where it is, its language, and its manifest. Builds nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use oriel_policy::Manifest;

use crate::args::Language;

/// A policy's project.
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) language: Language,
    /// What the plugin is called.
    pub(super) name: String,
    /// The manifest, byte for byte.
    pub(super) manifest: Vec<u8>,
}

impl Project {
    /// The project in this directory.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let language = language(folder)?;
        let path = folder.join("oriel.json");
        let manifest = fs::read(&path)
            .with_context(|| format!("a policy needs its manifest, {}", path.display()))?;
        let read = Manifest::read(&manifest);
        let read = read.with_context(|| format!("{} is wrong", path.display()))?;
        ensure!(
            !read.name.is_empty(),
            "{} does not say the policy's `name`",
            path.display()
        );
        ensure!(
            !read.name.contains(['/', '\\']) && !read.name.starts_with('.'),
            "{}: {:?} cannot be a file's name",
            path.display(),
            read.name
        );
        Ok(Self {
            folder: folder.to_owned(),
            language,
            name: read.name,
            manifest,
        })
    }

    /// Where its plugin goes, unless somebody says otherwise.
    pub(super) fn plugin(&self) -> PathBuf {
        self.folder
            .join("target")
            .join(format!("{}.wasm", self.name))
    }
}

/// The scenarios in a project's folder, by name. `NAME.config.toml` is no scenario.
pub(super) fn scenarios(project: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let folder = project.join("tests");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries =
        fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut scenarios: Vec<_> = paths.into_iter().filter(|path| is_scenario(path)).collect();
    scenarios.sort();
    Ok(scenarios)
}

fn is_scenario(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    name.is_some_and(|name| name.ends_with(".toml") && !name.ends_with(".config.toml"))
}

/// The configuration that lies beside a scenario, if there is one.
pub(super) fn configuration(scenario: &Path) -> Option<PathBuf> {
    let path = scenario.with_extension("config.toml");
    path.is_file().then_some(path)
}

fn language(folder: &Path) -> anyhow::Result<Language> {
    if folder.join("Cargo.toml").is_file() {
        return Ok(Language::Rust);
    }
    if folder.join("wit/world.wit").is_file() {
        let has = |file: &str| folder.join("src").join(file).is_file();
        return Ok(match (has("policy.py"), has("policy.js")) {
            (true, false) => Language::Python,
            (false, true) => Language::Js,
            (false, false) => Language::C,
            (true, true) => bail!(
                "{} is a project in two languages: it has src/policy.py and src/policy.js; keep one",
                folder.display()
            ),
        });
    }
    bail!(
        "{} is no policy's project: it has neither a Cargo.toml nor a wit/world.wit; begin one with \
         `oriel plugin new NAME`",
        folder.display()
    );
}
