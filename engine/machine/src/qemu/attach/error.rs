//! Why a VM could not be attached to, and what to do about it.

use std::io;

use thiserror::Error;

use crate::qemu::{
    blocks::BlocksError, gdb::GdbError, qmp::QmpError, ram::RamError, stream::Address,
};

/// A VM could not be attached to.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Somebody else debugs it.
    #[error(
        "another debugger is attached at {0}, and QEMU serves one at a time: end that one first"
    )]
    Taken(Address),
    /// The stub.
    #[error("the gdbstub at {address}")]
    Gdb {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: GdbError,
    },
    /// The monitor.
    #[error("the monitor at {address}")]
    Qmp {
        /// Where it is.
        address: Address,
        /// What was wrong.
        source: QmpError,
    },
    /// Where its memory lies.
    #[error("the VM's memory layout is not known")]
    Blocks(#[source] BlocksError),
    /// Its memory.
    #[error("the VM's memory cannot be read in place; `--ram gdb` reads it by gdb, which is slow")]
    Ram(#[source] RamError),
    /// The stub steps in another way.
    #[error(
        "the stub at {0} takes interrupts while it steps: set `qqemu.sstep` back to 0x7, as QEMU has it"
    )]
    Steps(Address),
    /// No guard.
    #[error("the guard process, which frees the VM if Oriel is killed, does not start")]
    Guard(#[source] io::Error),
    /// The host.
    #[error("the host has no room for another thread or file")]
    Host(#[source] io::Error),
}
