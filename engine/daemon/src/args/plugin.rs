//! What was typed after `oriel plugin`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Begin a policy: a project that builds and passes its tests at once.
    New(NewArgs),
    /// Make the plugin of a project, and say what it hears and may do.
    Build(BuildArgs),
    /// Say whether a plugin is as Oriel calls it, and what is odd about it.
    Check(CheckArgs),
    /// Run a project's native tests, then its plugin against its scenarios.
    Test(TestArgs),
    /// Play a scenario under a plugin, or ask it what a journal says; print the verdicts.
    Run(PlayArgs),
    /// Measure what a plugin costs an event.
    Bench(BenchArgs),
    /// Say what a plugin hears, what it may do, and what its manifest says.
    Inspect(InspectArgs),
}

/// The languages that a policy can begin in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// Rust, with the SDK.
    #[default]
    Rust,
    /// C, with generated headers and no library.
    C,
    /// Python, with its interpreter inside.
    Python,
    /// JavaScript, with its engine inside.
    #[value(alias = "javascript")]
    Js,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArgs {
    /// What it is to be called: small letters, digits and dashes.
    pub(crate) name: String,
    /// Where to put it; must not exist yet [default: NAME].
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// In which language.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) lang: Language,
    /// The kinds of event that it judges, separated by commas.
    #[arg(long, value_name = "KINDS", default_value = "msr")]
    pub(crate) listens: String,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Where to put the plugin [default: DIR/target/NAME.wasm].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The plugin.
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// What is odd is wrong: fail because of it.
    #[arg(long)]
    pub(crate) strict: bool,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TestArgs {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Leave the native tests out.
    #[arg(long)]
    pub(crate) no_native: bool,
    /// Test this plugin as it is, against the scenarios in DIR/tests; nothing is built.
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) plugin: Option<PathBuf>,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a plugin comes onto the mock machine.
#[derive(Debug, clap::Args)]
pub(crate) struct StageArgs {
    /// The plugin.
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// Its configuration, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What it may see and do [default: all that it asks for].
    #[arg(long, value_name = "LIST|all")]
    pub(crate) grant: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PlayArgs {
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    /// What the guest does.
    #[arg(
        long,
        value_name = "builtin:NAME|FILE",
        required_unless_present = "journal"
    )]
    pub(crate) scenario: Option<String>,
    /// Play no guest: ask what a policy was asked, as `oriel replay` does.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "grant"])]
    pub(crate) journal: Option<PathBuf>,
    /// Which policy of the journal it plays [default: the one of its name, or the only one].
    #[arg(long, value_name = "NAME", requires = "journal")]
    pub(crate) policy: Option<String>,
    /// As JSON: event lines, and a last line about what was expected; of a journal, the lines of
    /// `oriel replay`.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) stage: StageArgs,
    /// What the guest does, over and over.
    #[arg(
        long,
        value_name = "builtin:NAME|FILE",
        default_value = "builtin:every-kind"
    )]
    pub(crate) scenario: String,
    /// How many events to measure.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) events: u64,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// The plugin.
    #[arg(value_name = "FILE.wasm")]
    pub(crate) file: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
