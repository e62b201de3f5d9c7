//! What is told of policies and their revisions: plain values, for whoever shows them.

use oriel_policy::Digest;
use serde::Serialize;

/// A policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Posted {
    /// Its name on this VM.
    pub name: String,
    /// The revision in force, from 1.
    pub revision: u64,
    /// Of its code.
    pub digest: Digest,
    /// The author's version, as its manifest says; empty if it says nothing.
    pub version: String,
    /// It is not asked any more: its failure verdict answers.
    pub quarantined: bool,
    /// It has failed where that means that it hears nothing any more.
    pub detached: bool,
}

/// How a revision stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It judges.
    InForce,
    /// Another has taken its place.
    Past,
    /// It was tried, and rolled back.
    RolledBack,
}

/// A revision of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its number, from 1.
    pub revision: u64,
    /// Of its code.
    pub digest: Digest,
    /// The author's version.
    pub version: String,
    /// Whether it judges.
    pub standing: Standing,
    /// When it last came into force, in nanoseconds since the VM's start.
    pub since_ns: u64,
    /// Bytes of state that it had when it was left, on all vCPUs.
    pub saved_bytes: usize,
    /// Why it stands so, in words.
    pub detail: String,
}

/// A swap or a rollback that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swapped {
    /// The policy.
    pub name: String,
    /// The revision that was left.
    pub from: u64,
    /// The one in force now.
    pub to: u64,
    /// Where it has started without the old one's state.
    pub fresh: Vec<String>,
    /// The longest that a vCPU was kept by it, in nanoseconds.
    pub stall_ns: u64,
    /// What came of the shadow, if there was one.
    pub shadow: Option<ShadowReport>,
    /// What came of the canary, if it was one event in so many.
    pub canary: Option<CanaryReport>,
}

/// How a revision did that heard one event in so many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CanaryReport {
    /// Events that were its own, on all vCPUs.
    pub events: u64,
}

/// How a revision did in the shadow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowReport {
    /// Events that both judged.
    pub events: u64,
    /// Of these, how many it judged otherwise.
    pub disagreed: u64,
    /// How often it failed.
    pub failed: u64,
}
