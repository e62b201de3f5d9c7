//! `oriel guest …`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;
use oriel_machine::qemu::{Address, RamChoice};

/// Look at the Linux in a VM that runs: what it is and does, without files of its kernel.
#[derive(Debug, clap::Args)]
pub(crate) struct GuestArgs {
    /// The control socket of the Oriel that watches it (`oriel run --control`).
    #[arg(long, global = true, value_name = "PATH", env = "ORIEL_CONTROL")]
    pub(crate) control: Option<PathBuf>,
    /// The monitor (QMP) of the QEMU that runs it; nobody else may use that socket meanwhile. The VM
    /// runs on.
    #[arg(long, global = true, value_name = "unix:PATH|tcp:127.0.0.1:PORT")]
    pub(crate) qmp: Option<Address>,
    /// The file of the guest's memory backend; `auto` finds it, and `gdb` reads memory by gdb
    /// [default: auto].
    #[arg(long, global = true, value_name = "FILE|auto|gdb")]
    pub(crate) ram: Option<RamChoice>,
    /// The gdbstub, for memory that cannot be read in a file. It is connected to only then: it
    /// stops the VM for each read.
    #[arg(long, global = true, value_name = "unix:PATH|tcp:127.0.0.1:PORT")]
    pub(crate) gdb: Option<Address>,
    /// The answer as one JSON document.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: GuestCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuestCommand {
    /// Say which kernel it is, where it lies, and what is known of it and how.
    Info,
    /// List symbols by name, by the beginning of their names, or by address.
    Symbols(SymbolArgs),
    /// Say where a member is, or list the members of a type.
    Type(TypeArgs),
    /// List processes.
    Ps(PsArgs),
    /// List loaded modules.
    Modules,
    /// List the table of system calls, and where each leads.
    Syscalls(SyscallArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SymbolArgs {
    /// A name, or the beginning of some with a `*` behind it [default: all symbols].
    #[arg(value_name = "NAME|PREFIX*", conflicts_with = "at")]
    pub(crate) name: Option<String>,
    /// The symbol in which this address (hexadecimal) lies, of the kernel or of a module.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) at: Option<u64>,
    /// Also what compilers have made of the name: NAME.isra.0, NAME.constprop.0, NAME.part.0.
    #[arg(long, requires = "name")]
    pub(crate) variants: bool,
    /// Those of a loaded module instead of the kernel's.
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    pub(crate) module: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TypeArgs {
    /// A member by its path, as `task_struct.mm.pgd` or `module.mem[1].base`; or a type's name.
    pub(crate) path: String,
    /// With the types of a loaded module.
    #[arg(long, value_name = "NAME")]
    pub(crate) module: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PsArgs {
    /// Each thread of each process.
    #[arg(long, conflicts_with = "hidden")]
    pub(crate) threads: bool,
    /// Those alone that run or have a number and are in no list.
    #[arg(long)]
    pub(crate) hidden: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SyscallArgs {
    /// Those of 32-bit programs.
    #[arg(long, conflicts_with = "interrupts")]
    pub(crate) compat: bool,
    /// The interrupt table of each vCPU instead.
    #[arg(long)]
    pub(crate) interrupts: bool,
}

/// A hexadecimal address, with `0x` or without.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}
