//! What was typed of journals: writing, looking at, and replaying them.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use serde::Deserialize;

/// Recording what policies are asked and answer.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Recording")]
pub(crate) struct RecordArgs {
    /// Write what policies are asked, told and answer to a new file, for `oriel replay`.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// What happens where that file does not take it in time: the vCPU waits (for a minute at
    /// most), or it goes on and the call is counted as lost [default: block].
    #[arg(long, value_enum)]
    pub(crate) record_full: Option<RecordFull>,
}

/// What becomes of a call that cannot be written down now.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RecordFull {
    /// The vCPU waits.
    Block,
    /// It goes on, and the call is lost.
    Drop,
}

/// Looking at journals.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Print what is in a journal, in the order in which it happened.
    Show(ShowArgs),
    /// Count what is in a journal.
    Stat(JournalFile),
    /// Write a part of a journal to a new file: up to a time, or of one policy or vCPU.
    Cut(CutArgs),
    /// Check that a journal is whole, and say where it is not.
    Verify(JournalFile),
}

/// A journal.
#[derive(Debug, Args)]
pub(crate) struct JournalFile {
    /// The journal.
    pub(crate) file: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) journal: JournalFile,
    /// With the commands of each call, and what they were answered.
    #[arg(long)]
    pub(crate) commands: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CutArgs {
    #[command(flatten)]
    pub(crate) journal: JournalFile,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Leave out what came later, counted from the start of the VM.
    #[arg(long, value_name = "SECONDS", value_parser = super::seconds)]
    pub(crate) until: Option<Duration>,
    /// Keep this policy alone.
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,
    /// Keep the instances of this vCPU alone.
    #[arg(long, value_name = "N")]
    pub(crate) vcpu: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The journal.
    pub(crate) file: PathBuf,
    /// A policy's code; may be given several times. An instance gets the code that it had, if that
    /// is among them, else the last that may be its policy.
    #[arg(long = "policy", value_name = "[NAME=]FILE.wasm", required = true)]
    pub(crate) policies: Vec<String>,
    /// Another configuration for a policy than the recorded one, in TOML.
    #[arg(long = "policy-config", value_name = "NAME=FILE")]
    pub(crate) policy_configs: Vec<String>,
    /// Compare with what this code answers, instead of what was recorded.
    #[arg(long, value_name = "[NAME=]FILE.wasm")]
    pub(crate) against: Vec<String>,
    /// Print each event that is answered otherwise.
    #[arg(long)]
    pub(crate) diff: bool,
    /// As JSON lines: with `--diff` those that differ, else every event; then a line of counts.
    #[arg(long)]
    pub(crate) json: bool,
}
