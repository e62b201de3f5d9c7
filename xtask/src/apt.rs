//! Debian's packages: which there are, getting them, installing them by name.
//!
//! Series and versions come from apt, which knows where its mirrors are; none is written here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use oriel_build::child;

/// Whether this machine has apt.
pub(crate) fn is_here() -> bool {
    ["apt-get", "apt-cache", "dpkg-deb"]
        .iter()
        .all(|program| child::find(program).is_some())
}

/// When apt last heard which packages there are, if ever.
pub(crate) fn last_update() -> Option<SystemTime> {
    fs::metadata("/var/lib/apt/lists").ok()?.modified().ok()
}

/// The version of a package that apt would install, if it knows the package.
pub(crate) fn version(package: &str) -> Result<Option<String>> {
    let policy = child::output(apt("apt-cache").args(["policy", package]))?;
    Ok(field(&policy, "Candidate")
        .filter(|version| *version != "(none)")
        .map(str::to_owned))
}

/// The same, after asking the mirrors.
///
/// # Errors
/// If there is none, or if asking takes rights we do not have; says what to do.
pub(crate) fn version_after_update(package: &str) -> Result<String> {
    update().with_context(|| format!("apt does not know {package}"))?;
    version(package)?.with_context(|| format!("apt has no package {package}, after an update"))
}

fn update() -> Result<()> {
    if !is_root() {
        bail!("run `sudo apt-get update`, then this again");
    }
    child::output(apt("apt-get").arg("update")).map(drop)
}

/// The name of the package that this version of `package` depends on and that begins so.
pub(crate) fn dependency(package: &str, version: &str, prefix: &str) -> Result<String> {
    let record = child::output(apt("apt-cache").args(["show", &format!("{package}={version}")]))?;
    depends(&record)
        .find(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .with_context(|| format!("{package} {version} depends on no {prefix}*"))
}

/// Downloads packages (`NAME` or `NAME=VERSION`) into a directory. Takes no rights.
pub(crate) fn download(packages: &[String], into: &Path) -> Result<()> {
    let mut get = apt("apt-get");
    get.args(["-o", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(into);
    child::output(&mut get).map(drop)
}

/// Unpacks one downloaded package into a directory, installing nothing.
pub(crate) fn unpack(package: &Path, into: &Path) -> Result<()> {
    child::output(Command::new("dpkg-deb").arg("-x").arg(package).arg(into)).map(drop)
}

/// Installs packages, after asking the mirrors if apt does not know one of them: a fresh system has
/// never asked.
///
/// # Errors
/// Without the rights to, with the command for somebody who has them.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !is_root() {
        bail!("run `sudo apt-get install {}`", packages.join(" "));
    }
    let is_unknown = |package: &&str| !matches!(version(package), Ok(Some(_)));
    if packages.iter().any(is_unknown) {
        update()?;
    }
    let mut get = apt("apt-get");
    get.args(["install", "--yes", "--no-install-recommends"]);
    child::run(get.args(packages))
}

fn apt(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The value of the first line `NAME: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.trim_start().split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}

/// The names in the `Depends` field, the first of each set of alternatives.
fn depends(record: &str) -> impl Iterator<Item = &str> {
    field(record, "Depends")
        .into_iter()
        .flat_map(|list| list.split(','))
        .filter_map(|entry| entry.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_read_with_its_epoch() {
        let policy = "some-package:\n  Installed: (none)\n  Candidate: 1:2.3~deb12u1\n";
        assert_eq!(field(policy, "Candidate"), Some("1:2.3~deb12u1"));
    }

    #[test]
    fn dependencies_are_names_without_versions() {
        let record = "Package: a\nDepends: libc6 (>= 2.34), libllvm22, mail | post\nSize: 1\n";
        let names: Vec<_> = depends(record).collect();
        assert_eq!(names, ["libc6", "libllvm22", "mail"]);
    }
}
