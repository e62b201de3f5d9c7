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

pub use cross::{CrossView, Seen};
pub(crate) use guess::{first_names, guess};
pub(crate) use layout::Layout;
pub use oriel_protocol::linux::{Credentials, Listing, Task, TaskState as State};

#[cfg(test)]
mod tests;
