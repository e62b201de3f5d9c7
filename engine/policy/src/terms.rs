//! What an operator lets a policy do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use oriel_protocol::{Bounds, EventSet, Right};

use crate::{Limits, OnFailure, Setting};

/// On what terms a plugin is made a policy.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The policy's name: in the operator's configuration, its log, its alerts.
    pub name: String,
    /// What it may do. The log need not be named.
    pub rights: BTreeSet<Right>,
    /// What it may hear.
    pub events: EventSet,
    /// Which MSRs and which memory; none: whatever the rights reach. The gate is the engine's.
    pub bounds: Option<Arc<Bounds>>,
    /// How it is configured.
    pub config: BTreeMap<String, Setting>,
    /// What it may use.
    pub limits: Limits,
    /// What answers events when it cannot, instead of what its manifest says.
    pub on_failure: Option<OnFailure>,
    /// A failure may keep a vCPU out of the guest for so long; none: not at all.
    pub pause: Option<Duration>,
}
