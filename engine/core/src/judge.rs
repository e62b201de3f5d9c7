//! What a judge is to the engine: a policy's instance, a tool's session, or an embedder's own code.

use oriel_policy::Saved;
use oriel_protocol::{Case, EventKind, Moment, Verdict};

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
    fn observe(&mut self, _case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Is called by the clock; `missed` calls were left out since the last.
    fn tick(&mut self, _time_ns: u64, _missed: u32, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Is called before the guest is entered, once for each time that it asked for it: the vCPU is
    /// out of the guest, and no event waits for a verdict.
    fn attend(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    /// Hands over what the revision after it is to know; none if there is nothing. Says why it
    /// cannot.
    fn save(&mut self, desk: Box<Desk>) -> (Result<Option<Saved>, String>, Box<Desk>) {
        (Ok(None), desk)
    }

    /// Takes over what this revision has handed over, before its own first event. Says why it does
    /// not.
    fn restore(
        &mut self,
        _saved: Saved,
        _revision: u64,
        desk: Box<Desk>,
    ) -> (Result<(), String>, Box<Desk>) {
        (Err("it takes over no state".to_owned()), desk)
    }

    /// Whether it may keep a vCPU waiting: then its time is not that of the event's other judges.
    fn is_patient(&self) -> bool {
        false
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

/// A judge's answer, or what stands in for it. One word: nearly all answers are `continue`, and
/// what is larger costs more to hand on than it costs to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling(Option<Box<Objection>>);

/// An answer other than `continue`, or one that is not the judge's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Objection {
    verdict: Verdict,
    failure: Option<Lapse>,
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
    pub const CONTINUE: Self = Self(None);

    /// What answers for a judge that failed.
    pub fn lapsed(verdict: Verdict, lapse: Lapse) -> Self {
        Self(Some(Box::new(Objection {
            verdict,
            failure: Some(lapse),
        })))
    }

    /// Whether there is nothing to say.
    pub const fn is_continue(&self) -> bool {
        self.0.is_none()
    }

    /// The answer.
    pub fn verdict(&self) -> &Verdict {
        self.0
            .as_ref()
            .map_or(&Verdict::Continue, |objection| &objection.verdict)
    }

    /// The answer.
    pub fn into_verdict(self) -> Verdict {
        self.0
            .map_or(Verdict::Continue, |objection| objection.verdict)
    }

    /// Why it is not the judge's own.
    pub fn failure(&self) -> Option<&Lapse> {
        self.0.as_ref()?.failure.as_ref()
    }
}

impl From<Verdict> for Ruling {
    fn from(verdict: Verdict) -> Self {
        if verdict == Verdict::Continue {
            return Self::CONTINUE;
        }
        Self(Some(Box::new(Objection {
            verdict,
            failure: None,
        })))
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
