//! What a judge is to the engine: a policy's instance, a tool's session, or an embedder's own code.

use oriel_protocol::{Case, EventKind, Moment, Observation, Verdict};

use crate::desk::Desk;

/// Judges the events of one vCPU, on that vCPU's thread.
///
/// The desk is what the judge reaches the VM through; it is lent for the call.
pub trait Judge: Send {
    /// Answers an event.
    fn judge(&mut self, case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>);

    /// Gets ready, before the vCPU's first event.
    fn ready(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Sees an event without answering it.
    fn observe(
        &mut self,
        _seen: &Observation,
        _case: &Case<'_>,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Is called by the clock; `missed` calls were left out since the last.
    fn tick(&mut self, _time_ns: u64, _missed: u32, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Is told of something that takes no answer.
    fn notice(
        &mut self,
        _kind: EventKind,
        _moment: Moment,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }
}

/// Where a judge sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bench {
    /// With this vCPU.
    Vcpu(u32),
    /// With the clock.
    Clock,
}

/// A judge's answer, or what stands in for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The answer.
    pub verdict: Verdict,
    /// Why it is not the judge's own.
    pub failure: Option<Box<Lapse>>,
}

/// A judge did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// How it failed.
    pub reason: String,
    /// It is not asked any more until the operator acts.
    pub quarantined: bool,
}

impl Ruling {
    /// Let it happen.
    pub const CONTINUE: Self = Self {
        verdict: Verdict::Continue,
        failure: None,
    };
}

impl From<Verdict> for Ruling {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            failure: None,
        }
    }
}

/// A judge made of a function, for embedders and tests.
#[derive(Debug)]
pub struct Native<F>(pub F);

impl<F> Judge for Native<F>
where
    F: FnMut(&Case<'_>, &mut Desk) -> Verdict + Send,
{
    fn judge(&mut self, case: &Case<'_>, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let verdict = (self.0)(case, &mut desk);
        (verdict.into(), desk)
    }
}
