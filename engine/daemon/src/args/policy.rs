//! `oriel policy …`, as it is typed.

use std::{path::PathBuf, time::Duration};

use clap::Subcommand;

use super::seconds;

/// Look at the policies of a running VM, and change them.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// The control socket of the running VM (`oriel run --control`).
    #[arg(long, global = true, value_name = "PATH", env = "ORIEL_CONTROL")]
    pub(crate) control: Option<PathBuf>,
    /// The answer as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the policies in force, in the order in which they are asked.
    List,
    /// Load a policy; it is asked after all others.
    Load(LoadArgs),
    /// Take a policy away.
    Unload(NameArg),
    /// Put a new revision in the place of a policy, with no event lost.
    Swap(Box<SwapArgs>),
    /// Put an earlier revision back, with the state that it had.
    Rollback(RollbackArgs),
    /// List the revisions of a policy.
    History(NameArg),
    /// List a policy's last failures.
    Failures(NameArg),
    /// Say what a policy may hear and do, and who says no to the rest: what it imports and
    /// exports, its manifest, or the grant. Of a running VM, or of what is about to be run.
    Explain(ExplainArgs),
    /// End a policy's quarantine.
    Release(NameArg),
}

#[derive(Debug, clap::Args)]
pub(crate) struct NameArg {
    /// The policy.
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The policy's name.
    pub(crate) name: String,
    /// Without a running VM: a configuration file in which it stands.
    #[arg(long, value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Without a running VM: a policy, as `oriel run` takes it.
    #[arg(long = "policy", value_name = "[NAME=]FILE.wasm")]
    pub(crate) policies: Vec<String>,
    /// What it is granted, as `oriel run` takes it.
    #[arg(long = "grant", value_name = "NAME=LIST|all")]
    pub(crate) grants: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// The policy; its name is the file's unless one is given.
    #[arg(value_name = "[NAME=]FILE.wasm")]
    pub(crate) policy: String,
    #[command(flatten)]
    pub(crate) terms: TermArgs,
}

/// On what terms a policy is loaded.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TermArgs {
    /// What it may see and do, instead of the default: rights and kinds of event.
    #[arg(long, value_name = "LIST|all")]
    pub(crate) grant: Option<String>,
    /// Its configuration, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SwapArgs {
    /// The policy.
    pub(crate) name: String,
    /// Its new code; left out, the code stays and its terms change.
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) terms: TermArgs,
    /// All vCPUs move at once.
    #[arg(long)]
    pub(crate) together: bool,
    /// What happens if it does not take the old one's state [default: abort].
    #[arg(long, value_name = "fresh|abort", value_parser = ["fresh", "abort"])]
    pub(crate) state: Option<String>,
    /// First it only listens, for so long.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) shadow: Option<Duration>,
    /// How many of its verdicts may differ meanwhile [default: 0].
    #[arg(long, value_name = "N", requires = "shadow")]
    pub(crate) disagreements: Option<u64>,
    /// First it judges on these vCPUs only.
    #[arg(
        long,
        value_name = "VCPUS",
        value_delimiter = ',',
        requires = "canary_for",
        group = "canary_share"
    )]
    pub(crate) canary: Vec<u32>,
    /// First it hears one event in so many, on each vCPU; for policies that only observe.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..),
        requires = "canary_for",
        group = "canary_share"
    )]
    pub(crate) canary_one_in: Option<u32>,
    /// For so long.
    #[arg(long, value_name = "SECS", value_parser = seconds, requires = "canary_share")]
    pub(crate) canary_for: Option<Duration>,
    /// If it fails within so long it is rolled back.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    pub(crate) probation: Option<Duration>,
    /// How many failures are borne meanwhile [default: 0].
    #[arg(long, value_name = "N", requires = "probation")]
    pub(crate) failures: Option<u32>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The policy.
    pub(crate) name: String,
    /// The revision [default: the one before the current].
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u64>,
}

impl ExplainArgs {
    /// Whether it is about what was typed, and not about a running VM.
    pub(crate) const fn is_typed(&self) -> bool {
        self.config.is_some() || !self.policies.is_empty()
    }
}
