//! A task, in words. Owns no layout: kernels differ in that, and this is what all of them have.

use serde::Serialize;

use super::{hex, hex_or_null};
use crate::Gva;

/// A process, or a thread of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
pub struct Task {
    /// Where its `task_struct` is.
    #[serde(serialize_with = "hex")]
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
    pub state: Option<TaskState>,
    /// Whether it is the kernel's own, without user memory.
    pub kernel: Option<bool>,
    /// The physical address of its page tables, the kernel's half; none for a kernel's thread.
    #[serde(serialize_with = "hex_or_null")]
    pub cr3: Option<u64>,
    /// When it started, in nanoseconds since the boot.
    #[serde(serialize_with = "hex_or_null")]
    pub start_time: Option<u64>,
}

/// Who a task is, as the initial user namespace counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
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
    #[serde(serialize_with = "hex")]
    pub effective: u64,
    /// Capabilities that it may take.
    #[serde(serialize_with = "hex")]
    pub permitted: u64,
}

/// What a task does, as `/proc/PID/status` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Runs, or could.
    Running,
    /// Waits, and can be woken by a signal.
    Sleeping,
    /// Waits, and cannot.
    DiskSleep,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by a debugger.
    TracingStop,
    /// Ended, and about to go.
    Dead,
    /// Ended, and not waited for.
    Zombie,
    /// A kernel's thread that is put aside.
    Parked,
    /// A kernel's thread that waits for work.
    Idle,
}

impl TaskState {
    /// The letter that `ps` shows.
    pub const fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::DiskSleep => 'D',
            Self::Stopped => 'T',
            Self::TracingStop => 't',
            Self::Dead => 'X',
            Self::Zombie => 'Z',
            Self::Parked => 'P',
            Self::Idle => 'I',
        }
    }
}
