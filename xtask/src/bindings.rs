//! The SDK's bindings: one committed file for each world in `wit/`, so that a policy builds in
//! seconds and its author needs no WIT.
//!
//! Never changes what the worlds say; `generate` turns them into Rust.

mod generate;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use wit_bindgen_core::wit_parser::Resolve;

use oriel_build::workspace::Workspace;

/// Files to be, by their path within the SDK's sources.
type Files = BTreeMap<PathBuf, String>;

/// Writes the bindings, or with `check` fails if the committed ones are others.
pub(crate) fn run(check: bool) -> Result<()> {
    let workspace = Workspace::here()?;
    let sources = workspace.root.join("plugin-sdk/src");
    let files = render(&workspace.root)?;
    let stale = stale(&sources, &files)?;
    if check {
        let names: Vec<_> = stale.iter().map(|path| path.to_string_lossy()).collect();
        ensure!(
            stale.is_empty(),
            "not what wit/ says: {}: run `cargo xtask bindings`",
            names.join(", ")
        );
        return Ok(());
    }
    for path in &stale {
        replace(&sources.join(path), files.get(path))?;
        eprintln!("bindings: {}", path.display());
    }
    Ok(())
}

fn render(root: &Path) -> Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(root.join("wit")).context("reading wit/")?;
    generate::bindings(&resolve, package)?
        .into_iter()
        .map(|(path, source)| Ok((path, formatted(&source, root)?)))
        .collect()
}

/// The files that are not as they should be, or should not be.
fn stale(sources: &Path, files: &Files) -> Result<Vec<PathBuf>> {
    let differs = |(path, source): &(&PathBuf, &String)| {
        fs::read_to_string(sources.join(path)).ok().as_ref() != Some(source)
    };
    let changed = files.iter().filter(differs).map(|(path, _)| path.clone());
    let folder = fs::read_dir(sources.join("bindings")).into_iter().flatten();
    let known = folder
        .map(|entry| Ok(Path::new("bindings").join(entry?.file_name())))
        .collect::<Result<Vec<_>>>()?;
    let gone = known.into_iter().filter(|path| !files.contains_key(path));
    Ok(changed.chain(gone).collect())
}

fn replace(path: &Path, source: Option<&String>) -> Result<()> {
    let Some(source) = source else {
        return fs::remove_file(path).with_context(|| format!("removing {}", path.display()));
    };
    fs::create_dir_all(path.parent().context("a source has a directory")?)?;
    fs::write(path, source).with_context(|| format!("writing {}", path.display()))
}

/// The source as rustfmt would have it, with the configuration of the workspace.
fn formatted(source: &str, root: &Path) -> Result<String> {
    let mut rustfmt = Command::new("rustfmt")
        .arg("--config-path")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start rustfmt: run `rustup component add rustfmt`")?;
    let mut stdin = rustfmt.stdin.take().context("rustfmt has an input")?;
    // rustfmt reads to the end before it writes, so neither waits for the other.
    stdin.write_all(source.as_bytes())?;
    drop(stdin);
    let output = rustfmt.wait_with_output()?;
    ensure!(output.status.success(), "rustfmt refused generated code");
    String::from_utf8(output.stdout).context("rustfmt's output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_superfluous_file_are_stale() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join("bindings").join(name);
        for (name, source) in [("same.rs", "1"), ("changed.rs", "old"), ("gone.rs", "")] {
            replace(&at(name), Some(&source.into()))?;
        }
        let files = ["same.rs", "changed.rs", "new.rs"].map(|name| {
            let path = Path::new("bindings").join(name);
            (path, String::from("1"))
        });
        let names = ["bindings/changed.rs", "bindings/new.rs", "bindings/gone.rs"];
        let stale = stale(folder.path(), &files.into())?;
        assert_eq!(stale, names.map(PathBuf::from));
        Ok(())
    }
}
