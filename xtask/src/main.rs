//! `cargo xtask`: what is done to the repository, one command for each thing.
//!
//! Reads what was typed and hands it to the module of that name. Depends on one other crate
//! of the workspace, `oriel-build`, which depends on none: it builds in seconds and works while they
//! do not.

mod apt;
mod bindings;
mod ci;
mod corpus;
mod demo;
mod fuzz;
mod guests;
mod plugins;
mod setup;
mod step;
mod suite;
mod toolchain;
mod wit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What is done to the repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing here: the Wasm toolchain above all.
    Setup {
        /// And what only `ci` needs.
        #[arg(long)]
        ci: bool,
    },
    /// Build every policy into target/plugins/NAME.wasm.
    Plugins {
        /// Build and check, but write nothing there.
        #[arg(long)]
        check: bool,
        /// Build the policies of another workspace, into its own target directory.
        #[arg(long, value_name = "CARGO_TOML")]
        manifest_path: Option<PathBuf>,
    },
    /// Generate the SDK's bindings from wit/.
    Bindings {
        /// Fail if the committed ones differ; write nothing.
        #[arg(long)]
        check: bool,
    },
    /// See whether wit/ keeps what has been released of it.
    WitCheck,
    /// Keep the text of wit/ in tests/data/wit, once its version is released.
    WitKeep,
    /// Add a built policy to those that must load and judge for ever.
    CorpusAdd(corpus::Add),
    /// Build everything and run `oriel demo`; without arguments, the unprotected one after it.
    Demo {
        /// Passed on to `oriel demo`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build everything and run all tests.
    Test {
        /// Passed on to `cargo test`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Feed the wire protocol with bytes of all kinds, and see whether it keeps its promises.
    Fuzz {
        /// For how long, each target.
        #[arg(long, default_value_t = 10)]
        seconds: u32,
        /// This one alone: frame, handshake, journal or session.
        target: Option<String>,
    },
    /// Fetch and unpack Linux guests for the kvm machine and for QEMU into the cache.
    Guests {
        /// And boot them under a judge: a minute and a half, where KVM emulates kernel code.
        #[arg(long)]
        test: bool,
        /// Make one of another kernel instead: its packages for Debian, one or several.
        #[arg(
            long,
            value_name = "FILE.deb",
            requires = "into",
            conflicts_with = "test"
        )]
        package: Vec<PathBuf>,
        /// The folder for that one, which is made.
        #[arg(long, value_name = "FOLDER", requires = "package")]
        into: Option<PathBuf>,
    },
    /// All that must hold before a change is taken: format, lints, docs, licences, tests.
    Ci,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; the answer is the exit status.
fn run(command: Command) -> Result<u8> {
    match command {
        Command::Setup { ci: false } => done(setup::run()),
        Command::Setup { ci: true } => done(setup::run_for_ci()),
        Command::Plugins {
            check,
            manifest_path,
        } => done(plugins::run(check, manifest_path.as_deref())),
        Command::Bindings { check } => done(bindings::run(check)),
        Command::WitCheck => done(wit::check()),
        Command::WitKeep => done(wit::keep()),
        Command::CorpusAdd(told) => done(corpus::add(&told)),
        Command::Demo { args } => demo::run(&args),
        Command::Test { args } => suite::run(&args),
        Command::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
        Command::Guests { test: true, .. } => guests::test(),
        Command::Guests { package, into, .. } => done(match into {
            Some(into) => guests::other(&package, &into),
            None => guests::run(),
        }),
        Command::Ci => ci::run(),
    }
}

fn done(result: Result<()>) -> Result<u8> {
    result.map(|()| 0)
}
