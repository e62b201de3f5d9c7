//! A few modules of the guest's own kernel, for its shell to load: small ones that want no hardware.
//! Loads none of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::unpacked::{XZ, xz};

/// In the order in which they can be loaded. `dummy` needs nothing; `tun` has sites of jump labels,
/// static calls, locks and ftrace; `vfat` needs `fat`, so one module uses another.
const NAMES: [&str; 4] = ["dummy", "tun", "fat", "vfat"];

/// A module, as the guest's `insmod` takes it.
pub(super) struct Module {
    /// Its name, without an ending.
    pub(super) name: &'static str,
    /// The ELF file.
    pub(super) bytes: Vec<u8>,
}

/// Those of an unpacked package that it has: another kernel may have one of them built in.
pub(super) fn of(package: &Path) -> Result<Vec<Module>> {
    let files = files(package);
    let found = NAMES.iter().filter_map(|name| {
        let file = files.iter().find(|file| is_named(file, name))?;
        Some((*name, file))
    });
    let modules: Result<Vec<_>> = found.map(|(name, file)| read(name, file)).collect();
    let modules = modules?;
    ensure!(
        !modules.is_empty(),
        "the kernel's package has none of these modules: {}",
        NAMES.join(" ")
    );
    Ok(modules)
}

fn read(name: &'static str, file: &Path) -> Result<Module> {
    let bytes = fs::read(file)?;
    let bytes = if bytes.starts_with(XZ) {
        xz(&bytes)?
    } else {
        bytes
    };
    ensure!(
        bytes.starts_with(b"\x7fELF"),
        "{} is no module",
        file.display()
    );
    Ok(Module { name, bytes })
}

/// `tun.ko` or `tun.ko.xz`.
fn is_named(file: &Path, name: &str) -> bool {
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let rest = file_name.strip_prefix(name);
    rest.is_some_and(|rest| rest == ".ko" || rest.starts_with(".ko."))
}

/// Every file under a folder's modules; older packages have them outside of `usr`.
fn files(package: &Path) -> Vec<PathBuf> {
    let mut folders = vec![package.join("lib/modules"), package.join("usr/lib/modules")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let into = if is_folder { &mut folders } else { &mut files };
            into.push(entry.path());
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_wherever_the_package_has_them_and_in_the_order_of_loading() -> Result<()> {
        let package = tempfile::tempdir()?;
        let [old, new] = ["lib/modules/6.1/kernel/fs", "usr/lib/modules/6.12/kernel"]
            .map(|folder| package.path().join(folder));
        for (folder, file) in [(&old, "vfat.ko"), (&new, "tun.ko"), (&new, "tunnel4.ko")] {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(file), b"\x7fELF")?;
        }
        let names: Vec<_> = of(package.path())?
            .iter()
            .map(|module| module.name)
            .collect();
        assert_eq!(names, ["tun", "vfat"]);
        Ok(())
    }

    #[test]
    fn a_package_without_them_or_with_something_else_is_refused() -> Result<()> {
        let package = tempfile::tempdir()?;
        assert!(of(package.path()).is_err(), "none");
        fs::create_dir_all(package.path().join("lib/modules"))?;
        fs::write(package.path().join("lib/modules/tun.ko"), b"text")?;
        assert!(of(package.path()).is_err(), "no ELF");
        Ok(())
    }
}
