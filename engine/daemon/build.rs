//! Puts into the program what `oriel plugin new` hands out: the SDK's sources, the WIT package,
//! and which releases of other crates the SDK needs. Their texts are the repository's own.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The package that travels.
const SDK: &str = "oriel-sdk";

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or("the daemon lies in engine/")?;
    let mut out = String::new();
    list(&mut out, "SDK_SOURCES", &root.join("plugin-sdk"), "src")?;
    list(&mut out, "WIT", root, "wit")?;
    text(&mut out, "SDK_MANIFEST", &manifest(root)?)?;
    text(&mut out, "SDK_LOCK", &lock(root)?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("bundle.rs"), out)?;
    for watched in ["plugin-sdk", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    Ok(())
}

/// A constant with all files of a folder, by their paths from `base` on.
fn list(out: &mut String, name: &str, base: &Path, folder: &str) -> Result<()> {
    let mut files = Vec::new();
    find(&base.join(folder), &mut files)?;
    files.sort();
    writeln!(out, "pub(crate) const {name}: &[(&str, &str)] = &[")?;
    for file in files {
        let path = file.strip_prefix(base)?;
        writeln!(out, "    ({path:?}, include_str!({file:?})),")?;
    }
    writeln!(out, "];")?;
    Ok(())
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn text(out: &mut String, name: &str, text: &str) -> Result<()> {
    writeln!(out, "pub(crate) const {name}: &str = {text:?};")?;
    Ok(())
}

/// The SDK's `Cargo.toml` as it is outside of the workspace.
fn manifest(root: &Path) -> Result<String> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let own = read(&root.join("plugin-sdk/Cargo.toml"))?;
    let shared = |kind: &str, key: &str| workspace["workspace"][kind][key].to_string();
    let mut out = format!("[package]\nname = \"{SDK}\"\n");
    for key in ["version", "edition", "rust-version", "license"] {
        writeln!(out, "{key} = {}", shared("package", key))?;
    }
    out += "publish = false\n\n[dependencies]\n";
    let dependencies = own["dependencies"].as_table().ok_or("no dependencies")?;
    for name in dependencies.keys() {
        writeln!(out, "{name} = {}", shared("dependencies", name))?;
    }
    Ok(out)
}

/// What of the workspace's lock file the SDK needs: a project then builds with what was tested.
fn lock(root: &Path) -> Result<String> {
    let lock = read(&root.join("Cargo.lock"))?;
    let packages = lock["package"].as_array().ok_or("no packages")?;
    let mut wanted = BTreeSet::from([SDK.to_owned()]);
    let mut out = String::new();
    // A package comes into it with the one that needs it, so that many rounds see all.
    for _ in 0..packages.len() {
        let before = wanted.len();
        let known = packages.iter().filter(|one| is_wanted(&wanted, one));
        let needs = known.filter_map(|package| package.get("dependencies")?.as_array());
        let needs = needs.flatten().filter_map(toml::Value::as_str);
        let needs: Vec<_> = needs.map(str::to_owned).collect();
        wanted.extend(needs);
        if wanted.len() == before {
            break;
        }
    }
    for package in packages.iter().filter(|one| is_wanted(&wanted, one)) {
        writeln!(
            out,
            "\n[[package]]\n{}",
            toml::to_string(package)?.trim_end()
        )?;
    }
    Ok(out)
}

/// A lock file names a package by its name, or by name and version where there are several.
fn is_wanted(wanted: &BTreeSet<String>, package: &toml::Value) -> bool {
    let of = |key: &str| {
        package
            .get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
    };
    let (name, version) = (of("name"), of("version"));
    wanted.contains(name) || wanted.contains(&format!("{name} {version}"))
}

fn read(path: &Path) -> Result<toml::Table> {
    Ok(fs::read_to_string(path)?.parse()?)
}
