//! How an operator wants a policy swapped.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a policy is swapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwapOptions {
    /// All vCPUs move at once, parked meanwhile, and not each by itself. A manifest that says so,
    /// another store schema, and one instance for all vCPUs have the same effect.
    pub together: bool,
    /// What happens if the new revision does not take the old one's state.
    pub state: OnRefusal,
    /// First it only listens.
    pub shadow: Option<Shadow>,
    /// First it hears a part of the events only.
    pub canary: Option<Canary>,
    /// For how long it is rolled back if it fails.
    pub probation: Option<Probation>,
}

/// What happens if a revision does not take the state of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRefusal {
    /// It starts without.
    Fresh,
    /// It does not start.
    #[default]
    Abort,
}

/// A time in which a revision hears events and nobody obeys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// How long.
    pub lasts: Duration,
    /// How many verdicts may differ from those of the revision in force.
    pub disagreements: u64,
}

/// A time in which a revision hears a part of the events, and the old one the others. If it fails
/// meanwhile it does not come into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Which part.
    pub share: Share,
    /// How long.
    pub lasts: Duration,
}

/// Which part of the events a canary hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// All of these vCPUs.
    Vcpus(Vec<u32>),
    /// One in so many, at least 2, on each vCPU. Only if neither revision judges: one that denies
    /// every n-th time protects nobody.
    OneIn(u32),
}

/// A time in which a revision that fails is rolled back by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probation {
    /// How long.
    pub lasts: Duration,
    /// How many failures (traps, deadline misses, verdicts that an event cannot take) are borne.
    pub failures: u32,
}
