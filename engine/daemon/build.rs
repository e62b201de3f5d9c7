//! Puts into the program what `oriel plugin new` hands out: the sources of the SDK and of the mock
//! machine, the WIT package, and which releases of other crates those need. Their texts are the
//! repository's own.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A package that travels.
struct Package {
    name: &'static str,
    /// Where it is in the repository.
    folder: &'static str,
    /// What of its sources stays here: tests, and what needs KVM.
    without: &'static [&'static str],
}

/// The SDK, and what it plays scenarios with.
const PACKAGES: [Package; 3] = [
    Package {
        name: "oriel-sdk",
        folder: "plugin-sdk",
        without: &[],
    },
    Package {
        name: "oriel-machine",
        folder: "engine/machine",
        without: &[
            "kvm", "kvm.rs", "qemu", "qemu.rs", "tests", "tests.rs", "sync.rs",
        ],
    },
    Package {
        name: "oriel-protocol",
        folder: "engine/protocol",
        without: &["tests", "tests.rs"],
    },
];

fn main() -> Result<()> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here
        .ancestors()
        .nth(2)
        .ok_or("the daemon lies in engine/")?;
    let mut out = String::new();
    writeln!(out, "pub(crate) const PACKAGES: &[Package] = &[")?;
    for package in &PACKAGES {
        let manifest = manifest(root, package)?;
        writeln!(
            out,
            "Package {{ name: {:?}, manifest: {manifest:?}, sources: &[",
            package.name
        )?;
        list(&mut out, &root.join(package.folder), "src", package.without)?;
        writeln!(out, "] }},")?;
        println!(
            "cargo::rerun-if-changed={}",
            root.join(package.folder).display()
        );
    }
    writeln!(out, "];\npub(crate) const WIT: &[(&str, &str)] = &[")?;
    list(&mut out, root, "wit", &[])?;
    writeln!(out, "];\npub(crate) const LOCK: &str = {:?};", lock(root)?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("bundle.rs"), out)?;
    for watched in ["wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    Ok(())
}

/// All files of a folder but these, by their paths from `base` on.
fn list(out: &mut String, base: &Path, folder: &str, without: &[&str]) -> Result<()> {
    let mut files = Vec::new();
    find(&base.join(folder), without, &mut files)?;
    files.sort();
    for file in files {
        let path = file.strip_prefix(base)?;
        writeln!(out, "    ({path:?}, include_str!({file:?})),")?;
    }
    Ok(())
}

fn find(folder: &Path, without: &[&str], files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if without.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            find(&path, without, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// A package's `Cargo.toml` as it is outside of the workspace: without its tests, and without what it
/// leaves behind.
fn manifest(root: &Path, package: &Package) -> Result<String> {
    let workspace = read(&root.join("Cargo.toml"))?;
    let own = read(&root.join(package.folder).join("Cargo.toml"))?;
    let mut out = format!("[package]\nname = {:?}\n", package.name);
    for key in ["version", "edition", "rust-version", "license"] {
        writeln!(out, "{key} = {}", workspace["workspace"]["package"][key])?;
    }
    out += "publish = false\n\n[features]\n";
    let empty = toml::Table::new();
    let table = |table: &toml::Table, key: &str| {
        table
            .get(key)
            .and_then(toml::Value::as_table)
            .unwrap_or(&empty)
            .clone()
    };
    for (feature, needs) in table(&own, "features") {
        let needs = if is_left(package, &feature) {
            "[]".to_owned()
        } else {
            needs.to_string()
        };
        writeln!(out, "{feature} = {needs}")?;
    }
    out += "\n[dependencies]\n";
    out += &dependencies(&workspace, package, &table(&own, "dependencies"))?;
    for (target, its) in table(&own, "target") {
        writeln!(out, "\n[target.'{target}'.dependencies]")?;
        let its = its.as_table().unwrap_or(&empty);
        out += &dependencies(&workspace, package, &table(its, "dependencies"))?;
    }
    Ok(out)
}

/// Whether a feature is of what stays here. `default` is then nothing.
fn is_left(package: &Package, feature: &str) -> bool {
    feature == "default" || package.without.contains(&feature)
}

/// Lines of dependencies, with what the workspace says of each. Those that only what stays here needs
/// are left out.
fn dependencies(workspace: &toml::Table, package: &Package, own: &toml::Table) -> Result<String> {
    let mut out = String::new();
    for (name, asked) in own {
        let asked = asked
            .as_table()
            .ok_or("a dependency of the workspace is a table")?;
        let optional = asked.get("optional").is_some();
        let travels = PACKAGES.iter().any(|package| package.name == name);
        if optional && !travels && package.without.contains(&"kvm") {
            continue;
        }
        let shared = &workspace["workspace"]["dependencies"][name.as_str()];
        let mut line = match shared.as_table() {
            Some(table) => table.clone(),
            None => toml::Table::from_iter([("version".to_owned(), shared.clone())]),
        };
        if travels {
            line.insert("path".to_owned(), format!("../{name}").into());
        }
        if optional {
            line.insert("optional".to_owned(), true.into());
        }
        writeln!(out, "{name} = {}", toml::Value::Table(line))?;
    }
    Ok(out)
}

/// What of the workspace's lock file these packages need: a project then builds with what was tested.
fn lock(root: &Path) -> Result<String> {
    let lock = read(&root.join("Cargo.lock"))?;
    let packages = lock["package"].as_array().ok_or("no packages")?;
    let mut packages = packages.clone();
    for package in &PACKAGES {
        own_needs(root, package, &mut packages)?;
    }
    let mut wanted = BTreeSet::from([PACKAGES[0].name.to_owned()]);
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

/// Leaves a package that travels only the needs that its manifest still has.
fn own_needs(root: &Path, package: &Package, packages: &mut [toml::Value]) -> Result<()> {
    let manifest: toml::Table = manifest(root, package)?.parse()?;
    let mut names = BTreeSet::new();
    let mut take = |table: Option<&toml::Value>| {
        let table = table.and_then(toml::Value::as_table);
        names.extend(table.into_iter().flat_map(|table| table.keys().cloned()));
    };
    take(manifest.get("dependencies"));
    for its in manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten()
    {
        take(its.1.get("dependencies"));
    }
    let is_own = |one: &&mut toml::Value| {
        one.get("name").and_then(toml::Value::as_str) == Some(package.name)
    };
    let own = packages
        .iter_mut()
        .find(is_own)
        .ok_or("it is in no lock file")?;
    let own = own
        .get_mut("dependencies")
        .and_then(toml::Value::as_array_mut);
    if let Some(own) = own {
        own.retain(|need| {
            let need = need.as_str().unwrap_or_default();
            names.contains(need.split(' ').next().unwrap_or_default())
        });
    }
    Ok(())
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
