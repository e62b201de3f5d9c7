//! What is asked for when a judge is to sit: who it is, what it hears, and how its instances are
//! made. Never seats one.

use std::{sync::Arc, time::Duration};

use oriel_policy::{Slot, Store};
use oriel_protocol::{EventSet, Filter, Grant, Observation};

use crate::{
    judge::{Bench, Judge},
    policies::Hosted,
    tool,
};

/// A judge to be: what the engine asks for when the VM starts.
pub struct Candidate {
    /// As records show it; one of a name on a VM.
    pub name: Arc<str>,
    /// What it may see and do.
    pub grant: Grant,
    /// The kinds that it can answer, now or when it arms them later.
    pub judges: EventSet,
    /// What it judges from the start. Kinds that the grant lacks are left out.
    pub filters: Vec<Filter>,
    /// What it only observes.
    pub observations: Vec<Observation>,
    /// What it remembers.
    pub store: Arc<Store>,
    /// How often the clock calls it; none: never.
    pub tick: Option<Duration>,
    /// Where it is hooked, if it is a KVMI tool.
    pub tool: Option<Arc<tool::Seat>>,
    /// What it lives in, if it is a policy: then it can be swapped while the VM runs.
    pub hosted: Option<Arc<Hosted>>,
    /// Makes the judge of one vCPU, or of the clock; its thread calls policies with this slot.
    pub make: MakeJudge,
}

/// Makes the judge of one vCPU, or of the clock.
pub type MakeJudge = Box<dyn Fn(Bench, &Arc<Slot>) -> Box<dyn Judge> + Send + Sync>;

impl std::fmt::Debug for Candidate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Candidate({})", self.name)
    }
}
