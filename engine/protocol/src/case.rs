//! What a judge is given.

use crate::{Decision, Event, Moment, Value};

/// An event as one judge sees it: after the judges before it.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What happened.
    pub event: &'a Event,
    /// Where it stands in its vCPU's sequence.
    pub moment: Moment,
    /// The value as the judges before left it; none where the kind has none.
    pub proposed: Option<Value>,
    /// What they have decided.
    pub decided: Decision,
    /// This judge's own name for the breakpoint or page that was hit; else 0.
    pub tag: u64,
}

impl Case<'_> {
    /// The proposed value as a word; 0 where there is none.
    pub const fn word(&self) -> u64 {
        match self.proposed {
            Some(Value::Word(word)) => word,
            Some(Value::Leaf(_)) | None => 0,
        }
    }
}
