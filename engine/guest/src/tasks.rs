//! Processes and threads, as the kernel keeps them. Owns what a task's bytes mean; each of the
//! lists that lead to tasks is a module of its own, because a rootkit need not be in all of them.
//!
//! ```text
//!   init_task ── list of processes ── threads of each ──┐
//!   init_pid_ns ── tree of pids ─────────────────────────┼──► cross view: who is where
//!   per-CPU area ── current ─────────────────────────────┘
//! ```

mod cross;
mod current;
mod guess;
mod layout;
mod list;
mod name;
mod pids;
mod read;

use oriel_protocol::Gva;
use serde::Serialize;

use crate::{answer::Source, lists::Ending};

pub use cross::{CrossView, Seen};
pub(crate) use guess::{first_names, guess};
pub(crate) use layout::Layout;
pub use read::State;

/// A process, or a thread of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Task {
    /// Where its `task_struct` is.
    #[serde(serialize_with = "crate::json::hex")]
    pub address: Gva,
    /// Its number; a thread's own.
    pub pid: u32,
    /// The number of its process.
    pub tgid: u32,
    /// The number of the process that it belongs to, as `ps` says it.
    pub parent: Option<u32>,
    /// Its name, of at most 15 bytes; the guest chooses it.
    pub comm: String,
    /// Who it is; none where the kernel's types do not say.
    pub credentials: Option<Credentials>,
    /// What it does.
    pub state: Option<State>,
    /// Whether it is the kernel's own, without user memory.
    pub kernel: Option<bool>,
    /// The physical address of its page tables, the kernel's half; none for a kernel's thread.
    #[serde(serialize_with = "crate::json::hex_or_null")]
    pub cr3: Option<u64>,
    /// When it started, in nanoseconds since the boot.
    pub start_time: Option<u64>,
}

/// Who a task is, as the initial user namespace counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The real user.
    pub uid: u32,
    /// The real group.
    pub gid: u32,
    /// The user by whose rights it acts.
    pub euid: u32,
    /// The group by whose rights it acts.
    pub egid: u32,
    /// Effective capabilities, a bit each.
    #[serde(serialize_with = "crate::json::hex")]
    pub effective: u64,
    /// Capabilities that it may take.
    #[serde(serialize_with = "crate::json::hex")]
    pub permitted: u64,
}

/// What was found along a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Whether these are all.
    pub ending: Ending,
    /// How list and layout are known.
    pub source: Source,
}

#[cfg(test)]
mod tests;
