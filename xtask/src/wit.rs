//! The version rule of `wit/`, kept by a check: what has been released stays as it was, and what is new
//! is where old policies and old hosts can do without it. Compares the package with the newest text that
//! is kept in `tests/data/wit/VERSION`, and writes nothing but such a text.

mod rule;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use oriel_build::workspace::Workspace;
use shape::{Package, Version};

/// Where released texts are kept, each in a folder of its version's name.
const KEPT: &str = "tests/data/wit";

/// Fails if `wit/` breaks the rule, with a line for each way in which it does.
pub(crate) fn check() -> Result<()> {
    let root = Workspace::here()?.root;
    let now = Package::read(&root.join("wit"))?;
    let (version, kept) = newest(&root)?;
    let complaints = rule::complaints(&kept, &now);
    ensure!(
        complaints.is_empty(),
        "wit/ against the released {version}:\n  {}\nThe rule is in wit/README.md",
        complaints.join("\n  ")
    );
    eprintln!("wit: {} keeps what {version} has released", now.version);
    Ok(())
}

/// Keeps the text of `wit/` under its version. It is done once, when that version is released.
pub(crate) fn keep() -> Result<()> {
    check()?;
    let root = Workspace::here()?.root;
    let now = Package::read(&root.join("wit"))?;
    let folder = root.join(KEPT).join(now.version.to_string());
    ensure!(
        !folder.exists(),
        "{} is kept already, and stays; give wit/ another version",
        now.version
    );
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for file in texts(&root.join("wit"))? {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, folder.join(name))
            .with_context(|| format!("keeping {}", file.display()))?;
    }
    eprintln!("wit: {} is kept in {}", now.version, folder.display());
    Ok(())
}

/// The newest text that is kept.
fn newest(root: &Path) -> Result<(Version, Package)> {
    let folder = root.join(KEPT);
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let versions = names.filter_map(|name| name.parse::<Version>().ok());
    let newest = versions.max().context("no released text is kept")?;
    let package = Package::read(&folder.join(newest.to_string()))?;
    ensure!(
        package.version == newest,
        "{}/{newest} holds version {}",
        folder.display(),
        package.version
    );
    Ok((newest, package))
}

fn texts(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_wit = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wit");
    Ok(files.filter(is_wit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interfaces_keep_what_has_been_released() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (_, kept) = newest(&root)?;
        let now = Package::read(&root.join("wit"))?;
        assert_eq!(rule::complaints(&kept, &now), [""; 0]);
        Ok(())
    }
}
