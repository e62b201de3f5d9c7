//! Oriel, the program.
//!
//! What was typed ([`args`]) is resolved into a checked [`plan`], which is run. Errors are printed
//! once, here, with their causes; the exit status says how it ended (`docs/running.md`).

mod args;
mod audit;
mod bundle;
mod client;
mod commands;
mod config;
mod control;
mod exit;
mod grants;
mod guest;
mod host;
mod linux;
mod load;
mod operation;
mod output;
mod plan;
mod record;
mod serial;
mod signals;
mod state;
mod steward;
mod tools;
mod watch;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Args, AttachCommand, AuditCommand, Command};
use exit::Exit;

fn main() -> ExitCode {
    let args = Args::parse();
    log_to_stderr();
    match dispatch(args.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::warn(format_args!("oriel: {}", chain(&error)));
            if error.is::<plan::Usage>() {
                Exit::Usage.into()
            } else {
                Exit::Error.into()
            }
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Run(args) => commands::run::run(*args),
        Command::Attach(AttachCommand::Qemu(args)) => commands::attach::run(*args),
        Command::Guest(args) => commands::guest::run(&args),
        Command::Caps(args) => commands::caps::run(&args),
        Command::Plugin(command) => commands::plugin::run(&command),
        Command::Policy(args) => commands::policy::run(&args),
        Command::Audit(AuditCommand::Verify(args)) => commands::verify::run(&args),
        Command::Journal(command) => commands::journal::run(&command),
        Command::Replay(args) => commands::replay::run(&args),
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("ORIEL_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// An error with its causes, leaving out a cause that the text above it already says.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
