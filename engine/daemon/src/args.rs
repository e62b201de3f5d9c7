//! What was typed. Nothing here looks at the machine or opens a file.

mod attach;
mod guest;
mod journal;
mod plugin;
mod policy;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Deserialize;

pub(crate) use attach::{AttachCommand, QemuArgs};
pub(crate) use guest::{GuestArgs, GuestCommand, PsArgs, SymbolArgs};
pub(crate) use journal::{
    CutArgs, JournalCommand, JournalFile, RecordArgs, RecordFull, ReplayArgs, ShowArgs,
};
pub(crate) use plugin::{
    BenchArgs, BuildArgs, CheckArgs, InspectArgs, Language, NewArgs, PlayArgs, PluginCommand,
    StageArgs, TestArgs,
};
pub(crate) use policy::{ExplainArgs, LoadArgs, PolicyArgs, PolicyCommand, SwapArgs, TermArgs};

/// Sandboxed, hot-swappable virtual-machine introspection.
#[derive(Debug, Parser)]
#[command(name = "oriel", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a policy stopping an attack on a guest.
    Demo(DemoArgs),
    /// Run a guest under policies.
    Run(Box<RunArgs>),
    /// Watch a VM that somebody else runs.
    #[command(subcommand)]
    Attach(AttachCommand),
    /// Look at the Linux in a VM that runs: what it is and does, without files of its kernel.
    Guest(GuestArgs),
    /// Say what a machine can report and do.
    Caps(CapsArgs),
    /// Write, test and look at plugins.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at the policies of a running VM, and change them.
    Policy(PolicyArgs),
    /// Look at audit trails.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Look at journals of what policies were asked and answered.
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Ask policies again what a journal says that they were asked.
    Replay(ReplayArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that an audit trail is whole, and name the first line that is wrong.
    Verify(VerifyArgs),
}

/// The machines that a guest can run on.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MachineKind {
    /// A VM in this process, on a stock kernel.
    Kvm,
    /// A script.
    Mock,
    /// A VM that somebody else's QEMU runs: for `oriel caps`, and for `oriel attach qemu`.
    Qemu,
}

/// The machine for the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoMachine {
    /// KVM where it can be used, else the mock.
    Auto,
    /// KVM.
    Kvm,
    /// The mock.
    Mock,
    /// Debian in QEMU, which is started for it.
    Qemu,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// The machine to show it on.
    #[arg(long, value_enum, default_value_t = DemoMachine::Auto)]
    pub(crate) machine: DemoMachine,
    /// Without the policy: the attack succeeds.
    #[arg(long)]
    pub(crate) unprotected: bool,
    /// Where the plugins are [default: beside the program].
    #[arg(long, value_name = "DIR")]
    pub(crate) plugins: Option<PathBuf>,
    /// The folder of the Debian guest that `--machine qemu` starts; `cargo xtask guests` makes it.
    #[arg(long, value_name = "DIR", env = "ORIEL_GUESTS")]
    pub(crate) guests: Option<PathBuf>,
}

#[derive(Debug, Default, clap::Args)]
pub(crate) struct RunArgs {
    /// A configuration file; flags override it.
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// The machine that the guest runs on.
    #[arg(long, value_enum)]
    pub(crate) machine: Option<MachineKind>,
    /// `builtin:NAME`, or a file: a scenario for the mock machine; for kvm a Linux kernel (vmlinux
    /// or bzImage) or a flat image.
    #[arg(long, value_name = "builtin:NAME|FILE")]
    pub(crate) guest: Option<String>,
    /// An initramfs for the kernel that `--guest` names.
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// The kernel's command line [default: console=ttyS0 reboot=t panic=-1].
    #[arg(long, value_name = "TEXT")]
    pub(crate) cmdline: Option<String>,
    /// What is typed on the guest's serial line: a file, or standard input.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) input: Option<String>,
    /// The VM's name in event lines.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// How many vCPUs.
    #[arg(long, value_name = "N")]
    pub(crate) vcpus: Option<u32>,
    /// How much memory.
    #[arg(long, value_name = "MIB")]
    pub(crate) memory: Option<u64>,
    /// Where the guest's serial line goes: stdout, stderr, none, or a file
    /// [default: stdout; stderr with `--events -`].
    #[arg(long, value_name = "stdout|stderr|FILE|none")]
    pub(crate) serial: Option<String>,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// Who watches, and what is written down of it: the same whatever machine it is.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct WatchArgs {
    /// A policy; may be given several times, and they are asked in this order.
    #[arg(long = "policy", value_name = "[NAME=]FILE.wasm")]
    pub(crate) policies: Vec<String>,
    /// What a policy may see and do, instead of the default: rights and kinds of event.
    #[arg(long = "grant", value_name = "NAME=LIST|all")]
    pub(crate) grants: Vec<String>,
    /// A policy's configuration, in TOML.
    #[arg(long = "policy-config", value_name = "NAME=FILE")]
    pub(crate) policy_configs: Vec<String>,
    /// Write event lines (JSON) to a file, or to standard output.
    #[arg(long, value_name = "FILE|-")]
    pub(crate) events: Option<String>,
    /// Write every command of every judge, with its answer, to a new file.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit: Option<PathBuf>,
    /// What becomes of a command that cannot be written there in time: it is refused, or run and
    /// counted as lost [default: refuse].
    #[arg(long, value_enum)]
    pub(crate) audit_full: Option<AuditFull>,
    #[command(flatten)]
    pub(crate) record: RecordArgs,
    #[command(flatten)]
    pub(crate) operation: OperationArgs,
    #[command(flatten)]
    pub(crate) tools: ToolArgs,
}

/// Changing policies while the guest runs.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Changing policies while it runs")]
pub(crate) struct OperationArgs {
    /// Take orders on this UNIX socket (`oriel policy`); only this user and root are heard.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// Keep the policies in force in this directory, and begin with those that it holds.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Begin with the policies named here whatever the directory holds, and keep these.
    #[arg(long)]
    pub(crate) state_reset: bool,
    /// Each NAME.wasm in this directory is the policy NAME: loaded, and swapped when it changes.
    #[arg(long, value_name = "DIR")]
    pub(crate) watch: Option<PathBuf>,
    /// Unload a policy when its file is removed from the watched directory.
    #[arg(long)]
    pub(crate) watch_unload: bool,
}

/// KVMI tools. What is said of them goes for all, those of the configuration included.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "KVMI tools")]
pub(crate) struct ToolArgs {
    /// A tool that listens there, for Oriel to connect to; may be given several times.
    #[arg(long = "tool", value_name = "[NAME=]unix:PATH|vsock:CID:PORT")]
    pub(crate) tools: Vec<String>,
    /// The dialect that tools speak [default: v7].
    #[arg(long, value_name = "rfc6|v6|v7|v12")]
    pub(crate) dialect: Option<String>,
    /// A file with the secret that tools have to know.
    #[arg(long, value_name = "FILE")]
    pub(crate) tool_cookie: Option<PathBuf>,
    /// The commands that tools may send, by name, separated by commas [default: all].
    #[arg(long, value_name = "LIST|all")]
    pub(crate) allow_commands: Option<String>,
    /// The events that tools may hear, by name, separated by commas [default: all].
    #[arg(long, value_name = "LIST|all")]
    pub(crate) allow_events: Option<String>,
    /// How long to wait before connecting again; 0: never [default: 5].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) reconnect: Option<Duration>,
    /// Hold the guest until the tools have hooked and been quiet for 100 ms, for so long at the
    /// most [default: 0].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) tool_wait: Option<Duration>,
    /// How long a tool may take to answer an event, counted from its last message [default: 5].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) tool_deadline: Option<Duration>,
    /// The same while it has a vCPU paused [default: 60].
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) tool_pause_limit: Option<Duration>,
    /// What answers for a tool that does not answer in time [default: continue].
    #[arg(long, value_enum)]
    pub(crate) tool_on_failure: Option<OnFailure>,
    /// Leave breakpoint bytes (0xCC) that a tool wrote where they are when it goes.
    #[arg(long)]
    pub(crate) no_restore_breakpoints: bool,
}

/// What answers for a tool that does not answer in time.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnFailure {
    /// The guest goes on as if the tool were not there.
    Continue,
    /// The VM is stopped.
    Crash,
}

/// What becomes of a command that cannot be written down.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditFull {
    /// It is refused as `unavailable`.
    Refuse,
    /// It is run, and counted as lost.
    Drop,
}

/// Seconds, perhaps with a fraction.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[derive(Debug, clap::Args)]
pub(crate) struct CapsArgs {
    /// The machine to ask.
    #[arg(long, value_enum)]
    pub(crate) machine: MachineKind,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The trail.
    pub(crate) file: PathBuf,
}
