//! Starting other programs: what they inherit, and what is said when they fail.
//!
//! Never interprets what a program prints; that is for whoever asked for it.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

/// The Cargo that runs us, without what it told us about the package `xtask`.
///
/// `RUSTUP_TOOLCHAIN` stays: it names the toolchain of this run, also for work outside the
/// checkout, where no `rust-toolchain.toml` does.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os().filter(|(name, _)| is_about_this_package(name)) {
        cargo.env_remove(name);
    }
    cargo
}

fn is_about_this_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || ["CARGO", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"].contains(&name.as_ref())
}

/// Where `program` is in `PATH`, if it is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Runs it to its end with our output, and gives its exit status as a shell would.
pub fn status(command: &mut Command) -> Result<u8> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    Ok(code(status))
}

/// Runs it to its end with our output.
///
/// # Errors
/// If it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(status == 0, "`{}` failed (status {status})", line(command));
    Ok(())
}

/// Runs it to its end and gives what it printed.
///
/// # Errors
/// If it cannot be started or does not succeed; what it said on stderr is in the error.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    ensure!(
        output.status.success(),
        "`{}` failed (status {}): {}",
        line(command),
        code(output.status),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// The command as one would type it, for messages.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]))
            .expect_err("it exits with 3");
        assert_eq!(
            error.to_string(),
            "`sh -c echo why >&2; exit 3` failed (status 3): why"
        );
    }

    #[test]
    fn a_death_by_signal_is_128_and_the_signal() {
        let status = status(Command::new("sh").args(["-c", "kill -9 $$"])).expect("sh starts");
        assert_eq!(status, 128 + 9);
    }

    #[test]
    fn cargo_is_told_nothing_about_this_package() {
        let told = |name: &str| !is_about_this_package(OsStr::new(name));
        assert!(!told("CARGO_MANIFEST_DIR") && !told("CARGO_PKG_VERSION") && !told("CARGO"));
        assert!(told("CARGO_HOME") && told("CARGO_TARGET_DIR") && told("RUSTUP_TOOLCHAIN"));
    }
}
