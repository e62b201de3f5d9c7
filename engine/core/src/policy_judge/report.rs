//! What an operator is told of one failure of a policy.

use std::time::SystemTime;

use oriel_policy::{Digest, FailureMode};
use oriel_protocol::{Event, EventKind, Moment};

/// One failure of a policy, as it is kept for the operator.
#[derive(Clone, Debug)]
pub struct FailureReport {
    /// When, by the host's clock.
    pub time: SystemTime,
    /// On which vCPU, and in which of its events.
    pub moment: Moment,
    /// In what; none: as an instance began, or in a call by the clock.
    pub kind: Option<EventKind>,
    /// The event that it was to answer or to see.
    pub event: Option<Event>,
    /// What happened.
    pub reason: String,
    /// The functions it was in, innermost first, where that is known.
    pub trace: Vec<String>,
    /// Whether it counts against the policy.
    pub is_strike: bool,
    /// What answered for it; none: nothing was to be answered.
    pub answered: Option<FailureMode>,
    /// The code that failed.
    pub digest: Digest,
    /// The number of the revision that failed, from 1.
    pub revision: u64,
}

#[cfg(test)]
impl FailureReport {
    /// One that differs from others in its number only.
    pub(crate) fn numbered(seq: u64) -> Self {
        let (vcpu, time_ns) = (0, 0);
        Self {
            time: SystemTime::UNIX_EPOCH,
            moment: Moment { vcpu, seq, time_ns },
            kind: None,
            event: None,
            reason: String::new(),
            trace: Vec::new(),
            is_strike: true,
            answered: None,
            digest: Digest::of(b""),
            revision: 1,
        }
    }
}
