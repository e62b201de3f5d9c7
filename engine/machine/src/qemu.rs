//! The qemu machine: a VM that somebody else's QEMU runs, watched through its gdbstub, its monitor
//! and the file behind its memory. Never starts QEMU.
//!
//! ```text
//!   vCPU threads, commands ── orders ──► the actor ──► gdbstub   registers, breakpoints, steps
//!                          ◄── exits ───    │    └──► monitor   what VM it is, segments, run state
//!                                           └────────► memory   read in the backend's file
//! ```
//! One actor owns both connections and the run state. Every stop is of all vCPUs; events are
//! judged one by one, and the world goes on when none is open. What that costs is in
//! `docs/qemu.md`.
//!
//! | module | knows |
//! |---|---|
//! | [`packet`], [`stop`], [`layout`] | the bytes of the gdb protocol; no socket, fuzzed |
//! | `gdb`, `qmp` | one connection each |
//! | `world`, `actor` | the run state |
//! | `ram`, `memory`, `blocks` | where memory lies and how it is read |
//! | `guard` | what frees the VM if we are killed |
//! | `look` | a VM that is only looked at, by the monitor and the file: no stub, no actor |

mod actor;
mod attach;
mod backend;
mod blocks;
mod capabilities;
mod gdb;
mod guard;
pub mod layout;
mod link;
mod look;
mod machine;
mod mappings;
mod memory;
pub mod packet;
mod points;
mod qmp;
mod ram;
mod registers;
mod segments;
pub mod stop;
mod stream;
mod vcpu;
mod world;

use oriel_protocol::Capabilities;

pub use attach::{Attach, AttachError, Attached, Leave};
pub use backend::RamChoice;
pub use blocks::BlocksError;
pub use gdb::GdbError;
pub use guard::{Repair, RepairError, repair, watch};
pub use look::{Look, LookError, Onlooker};
pub use machine::QemuMachine;
pub use qmp::QmpError;
pub use ram::RamError;
pub use stream::{Address, AddressError};

/// What a machine that is attached to can do, as far as that can be said without one.
pub fn capabilities() -> Capabilities {
    capabilities::capabilities(None)
}

#[cfg(test)]
mod tests;
