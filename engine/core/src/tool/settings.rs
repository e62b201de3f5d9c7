//! What the operator says about a tool.

use std::time::Duration;

use oriel_protocol::{Dialect, Grant};

/// What the operator says about a tool.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is spoken.
    pub dialect: Dialect,
    /// What it may see and do: its allow-mask.
    pub grant: Grant,
    /// How long a vCPU waits for it to answer an event, counted from its last message.
    pub deadline: Duration,
    /// The same for `pause` events: tools pause a VM to read it.
    pub pause_limit: Duration,
    /// What answers for it when it has not answered in time.
    pub on_failure: OnFailure,
    /// A breakpoint byte (0xCC) that it wrote is taken back when it goes, if it is still there.
    pub restore_breakpoints: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            grant: Grant::all(),
            deadline: Duration::from_secs(5),
            pause_limit: Duration::from_secs(60),
            on_failure: OnFailure::Continue,
            restore_breakpoints: true,
        }
    }
}

impl Settings {
    /// Whether a `trap` event follows each injection, and not only one whose place was taken.
    pub(super) const fn tells_every_trap(&self) -> bool {
        matches!(self.dialect, Dialect::V7 | Dialect::V12)
    }
}

/// What answers for a tool that has not answered in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It happens as if the tool were not there.
    #[default]
    Continue,
    /// The VM is stopped with a report.
    Crash,
}
