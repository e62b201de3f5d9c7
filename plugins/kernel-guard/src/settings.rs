//! The configuration, checked. Says how much is looked at and what is done; looks at nothing.

use oriel_sdk::{Config, Failure};

const PAGE: u64 = 4096;
/// The fewest and the most bytes that a call by the clock looks at: below, a round takes hours;
/// above, no call is done in its time.
const LEAST: u64 = 16 * PAGE;
const MOST: u64 = 16 << 20;

/// Whether writes are trapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trap {
    /// Where the machine can.
    Auto,
    /// And if it cannot, that is told.
    On,
    /// Nowhere.
    Off,
}

/// What becomes of a write that is trapped and not the kernel's own patching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnWrite {
    /// It happens.
    Alert,
    /// It does not, where the event can take that.
    Deny,
}

/// What the operator chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How many pages one call by the clock looks at.
    pub(crate) pages: u32,
    /// How many bytes of the baseline are kept in memory.
    pub(crate) copies: u64,
    pub(crate) trap: Trap,
    pub(crate) on_write: OnWrite,
    /// Whether a vCPU is asked for its interrupt table once a round.
    pub(crate) vcpus: bool,
    /// Hidden tasks are looked for once in so many calls.
    pub(crate) hidden: Option<u64>,
}

impl Settings {
    pub(crate) fn read(config: &mut Config) -> Result<Self, Failure> {
        let bytes: u64 = config.get_or("bytes-per-tick", 4 << 20)?;
        if !(LEAST..=MOST).contains(&bytes) {
            return Err(format!("`bytes-per-tick` is a number from {LEAST} to {MOST}").into());
        }
        let traps = [("auto", Trap::Auto), ("on", Trap::On), ("off", Trap::Off)];
        let answers = [("alert", OnWrite::Alert), ("deny", OnWrite::Deny)];
        let is_looked_for = config.get_or("hidden", false)?;
        let every: u64 = config.get_or("hidden-ticks", 10)?;
        if every == 0 {
            return Err("`hidden-ticks` is a number from 1".into());
        }
        Ok(Self {
            pages: u32::try_from(bytes / PAGE)?,
            copies: config.get_or("copy-bytes", 40 << 20)?,
            trap: config.choice("trap", &traps)?.unwrap_or(Trap::Auto),
            on_write: config
                .choice("on-write", &answers)?
                .unwrap_or(OnWrite::Alert),
            vcpus: config.get_or("vcpus", true)?,
            hidden: is_looked_for.then_some(every),
        })
    }
}
