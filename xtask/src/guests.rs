//! Linux guests for KVM and for QEMU: Debian's cloud kernel, unpacked, and an initramfs with a
//! shell. Kept in the cache; nothing is installed, and nothing of it is in the repository.

mod image;
mod initramfs;
mod modules;
mod unpacked;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{apt, plugins};
use oriel_build::cache::Cache;
use oriel_build::child;
use oriel_build::workspace::Workspace;

/// Debian's name for the newest kernel for VMs, and for a shell without libraries.
const KERNEL: &str = "linux-image-cloud-amd64";
const SHELL: &str = "busybox-static";

/// Names the folder of the guests, for the tests.
pub(crate) const FOLDER: &str = "ORIEL_GUESTS";

/// Changes whenever what is made from the same packages does.
const RECIPE: u32 = 2;

/// The guests, where they lie.
pub(crate) struct Guests(PathBuf);

impl Guests {
    /// Makes the guests if they are not there or Debian has newer ones.
    pub(crate) fn set_up() -> Result<Self> {
        ensure!(
            apt::is_here(),
            "the guests are made from Debian's packages, and there is no apt here: run this on Debian, or name a vmlinux of your own with `oriel run --guest`"
        );
        let cache = Cache::open()?;
        let _lock = cache.lock()?;
        let [kernel, shell] = [version(KERNEL)?, version(SHELL)?];
        let recipe = format!("{KERNEL} {kernel}\n{SHELL} {shell}\nrecipe {RECIPE}\n");
        let place = cache.join("guests/debian");
        if fs::read_to_string(place.join("recipe")).is_ok_and(|made| made == recipe) {
            return Ok(Self(place));
        }
        eprintln!("guests: making them from Debian's {KERNEL} {kernel}");
        cache.make(&place, |at| make(at, &kernel, &recipe))?;
        Ok(Self(place))
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

/// Sets the guests up and says how to run them.
pub(crate) fn run() -> Result<()> {
    let guests = Guests::set_up()?;
    let folder = guests.folder().display();
    println!("oriel run --machine kvm --guest {folder}/vmlinux --initrd {folder}/initramfs.cpio");
    Ok(())
}

/// Makes a guest of another kernel's packages, and says how the tests run it.
pub(crate) fn other(packages: &[PathBuf], into: &Path) -> Result<()> {
    fs::create_dir(into).with_context(|| format!("making the folder {}", into.display()))?;
    put_together(into, &[SHELL.to_owned()], packages)?;
    let folder = fs::canonicalize(into)?;
    println!(
        "{FOLDER}={} cargo xtask test -- linux:: qemu:: debian::",
        folder.display()
    );
    Ok(())
}

/// Boots them, as far as the KVM here gets; the answer is the exit status. Some are watched by policies
/// of this workspace.
pub(crate) fn test() -> Result<u8> {
    let guests = Guests::set_up()?;
    plugins::build(&Workspace::here()?, false)?;
    // What is read out of the kernel's image first: it takes seconds.
    let chosen: [(&str, &[&str]); 2] = [
        ("debian", &[]),
        ("whole", &["linux::", "qemu::", "debian::"]),
    ];
    for (tests, filters) in chosen {
        let mut cargo = child::cargo();
        cargo
            // With all packages, as `cargo xtask test` does: with one alone some dependencies would
            // be built with other features.
            .args(["test", "--workspace", "--test", tests])
            .args(["--", "--nocapture"])
            .args(filters)
            .env(FOLDER, guests.folder());
        let status = child::status(&mut cargo)?;
        if status != 0 {
            return Ok(status);
        }
    }
    Ok(0)
}

/// The guests for a run of all tests, where KVM or QEMU could run them; without them those tests
/// leave themselves out, and say so.
pub(crate) fn for_tests() -> Option<PathBuf> {
    let runs = Path::new("/dev/kvm").exists() || child::find("qemu-system-x86_64").is_some();
    if env::var_os(FOLDER).is_some() || !runs {
        return None;
    }
    let made = Guests::set_up();
    let told = |error| eprintln!("guests: SKIPPED, no Linux runs in the tests: {error:#}");
    made.map_err(told).ok().map(|guests| guests.0)
}

/// The version of a package; asks the mirrors if apt has never heard of it.
fn version(package: &str) -> Result<String> {
    match apt::version(package)? {
        Some(version) => Ok(version),
        None => apt::version_after_update(package),
    }
}

fn make(at: &Path, kernel: &str, recipe: &str) -> Result<()> {
    let image = apt::dependency(KERNEL, kernel, "linux-image-")?;
    put_together(at, &[image, SHELL.to_owned()], &[])?;
    Ok(fs::write(at.join("recipe"), recipe)?)
}

/// A guest out of packages: those of these names, which are fetched, and these files.
fn put_together(at: &Path, names: &[String], own: &[PathBuf]) -> Result<()> {
    let (packages, files) = (at.join("packages"), at.join("files"));
    fs::create_dir(&packages)?;
    apt::download(names, &packages)?;
    let fetched = fs::read_dir(&packages)?.map(|entry| Ok(entry?.path()));
    let fetched: Result<Vec<_>> = fetched.collect();
    for package in fetched?.iter().chain(own) {
        apt::unpack(package, &files)?;
    }
    let compressed = fs::read(bzimage(&files)?)?;
    match image::unpack(&compressed) {
        Ok(vmlinux) => fs::write(at.join("vmlinux"), vmlinux)?,
        // QEMU starts the kernel as it is packed.
        Err(error) => eprintln!("guests: no vmlinux, which the kvm machine starts: {error:#}"),
    }
    fs::write(at.join("bzImage"), &compressed)?;
    let shell = fs::read(files.join("bin/busybox")).context("the package has no bin/busybox")?;
    let modules = modules::of(&files)?;
    fs::write(
        at.join("initramfs.cpio"),
        initramfs::with(&shell, &modules)?,
    )?;
    fs::remove_dir_all(packages)?;
    Ok(fs::remove_dir_all(files)?)
}

/// The kernel in an unpacked package; newer ones have it beside their modules.
fn bzimage(files: &Path) -> Result<PathBuf> {
    let modules = fs::read_dir(files.join("usr/lib/modules"));
    let releases = modules.into_iter().flatten().flatten();
    let folders = releases
        .map(|release| release.path())
        .chain([files.join("boot")]);
    let inside = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz")
    };
    let kernel = inside.map(|entry| entry.path()).find(is_kernel);
    kernel.context("the package has no vmlinuz, neither in boot nor in usr/lib/modules")
}
