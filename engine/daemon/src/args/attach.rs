//! `oriel attach`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;
use oriel_machine::qemu::{Address, RamChoice};

use super::WatchArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum AttachCommand {
    /// A VM of QEMU's, through its gdbstub and its monitor.
    Qemu(Box<QemuArgs>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct QemuArgs {
    /// A configuration file; flags override it.
    #[arg(value_name = "CONFIG.toml")]
    pub(crate) config: Option<PathBuf>,
    /// Where the gdbstub listens.
    #[arg(long, value_name = "unix:PATH|tcp:127.0.0.1:PORT")]
    pub(crate) gdb: Address,
    /// Where the monitor (QMP) listens; nobody else may use that socket meanwhile.
    #[arg(long, value_name = "unix:PATH|tcp:127.0.0.1:PORT")]
    pub(crate) qmp: Address,
    /// The file of the guest's memory backend; `auto` finds it, and `gdb` reads memory by gdb, which
    /// is slow.
    #[arg(long, value_name = "FILE|auto|gdb", default_value = "auto")]
    pub(crate) ram: RamChoice,
    /// The VM's name in event lines [default: QEMU's].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Free a VM whose watcher was killed: drop all breakpoints, and let it run.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Be the process that does so by itself once standard input ends without a word.
    #[arg(long, hide = true, conflicts_with = "repair")]
    pub(crate) guard: bool,
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}
