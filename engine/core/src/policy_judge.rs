//! A policy as a judge: keeps its instance alive, and answers for it when it fails.

mod carry;
mod conduct;
mod home;

use std::sync::Arc;

use oriel_policy::{Answer, Failure, Host, Instance, Policy, Saved, Slot};
use oriel_protocol::{Case, EventKind, Moment, Verdict};

use crate::{
    desk::Desk,
    failure,
    judge::{Judge, Lapse, Ruling},
};
pub(crate) use conduct::Conduct;
pub(crate) use home::{Home, Turn};

/// A policy's judge on one vCPU.
pub(crate) struct PolicyJudge {
    pub(crate) host: Arc<Host>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) home: Home,
    pub(crate) conduct: Arc<Conduct>,
}

impl PolicyJudge {
    /// Calls the instance, making it anew first if the last one failed; answers why it could not
    /// be called. The failure is boxed because there hardly ever is one.
    #[inline]
    fn call(
        &mut self,
        mut desk: Box<Desk>,
        call: impl FnOnce(&mut Instance, &Arc<Slot>, Box<Desk>) -> Box<Desk>,
    ) -> (Option<Box<Failure>>, Box<Desk>) {
        let mut failure = None;
        if self.home.is_empty() {
            (failure, desk) = self.furnish(desk);
        }
        if let Some(instance) = self.home.instance() {
            desk = call(instance, &self.slot, desk);
            if instance.is_dead() {
                self.retire();
            }
        }
        self.home.leave(&desk);
        (failure, desk)
    }

    /// Waits for the turn, if turns are taken, and makes an instance if there is none then.
    #[cold]
    fn furnish(&mut self, desk: Box<Desk>) -> (Option<Box<Failure>>, Box<Desk>) {
        let (entered, desk) = self.home.enter(desk);
        if let Err(failure) = entered {
            return (Some(Box::new(failure)), desk);
        }
        if !self.home.is_empty() {
            return (None, desk);
        }
        let place = self.home.place(desk.index());
        let (made, lent) = self.policy.instantiate(place, &self.slot, desk);
        let made = made.map(|instance| self.home.settle(instance));
        (made.err().map(Box::new), Desk::back(lent))
    }

    /// Gives up an instance that cannot be called any more. Dropping it unmaps memory, which is
    /// not for a vCPU's thread.
    #[cold]
    fn retire(&mut self) {
        if let Some(dead) = self.home.vacate() {
            self.host.retire(dead);
        }
    }

    /// What stands in for the verdict of a policy that failed.
    fn lapse(&self, failure: &Failure, verdict: Verdict) -> Ruling {
        let quarantined = self.conduct.strike(failure);
        Ruling::lapsed(
            verdict,
            Lapse {
                reason: failure.to_string(),
                quarantined,
            },
        )
    }

    /// What a policy said, or what stands in for it.
    fn rule(&self, case: &Case<'_>, answer: Result<Verdict, Failure>) -> Ruling {
        answer.map_or_else(|failure| self.failed(case, &failure), Ruling::from)
    }

    #[cold]
    fn failed(&self, case: &Case<'_>, failure: &Failure) -> Ruling {
        let mode = self.policy.failure_mode(case.event.kind());
        self.lapse(failure, failure::verdict(mode, case.event))
    }

    /// Calls something that takes no answer. The guest goes on, whatever becomes of the policy.
    fn inform(
        &mut self,
        desk: Box<Desk>,
        call: impl FnOnce(&mut Instance, &Arc<Slot>, Box<Desk>) -> Answer<()>,
    ) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            return (Ruling::CONTINUE, desk);
        }
        let mut told = Ok(());
        let (uncalled, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = call(instance, slot, desk);
            told = answer;
            Desk::back(lent)
        });
        let failure = uncalled.map(|failure| *failure).or(told.err());
        (
            failure.map_or(Ruling::CONTINUE, |failure| {
                self.lapse(&failure, Verdict::Continue)
            }),
            desk,
        )
    }
}

/// Whoever drops it may be a vCPU's thread.
impl Drop for PolicyJudge {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Judge for PolicyJudge {
    fn judge(&mut self, case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            let mode = self.policy.failure_mode(case.event.kind());
            return (failure::verdict(mode, case.event).into(), desk);
        }
        // Most events continue. Handing that on as a constant, and not as a result within a
        // result, saves a tenth of the whole path.
        let mut objection = None;
        let (uncalled, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.judge(case, slot, desk);
            if !matches!(answer, Ok(Verdict::Continue)) {
                objection = Some(answer);
            }
            Desk::back(lent)
        });
        let ruling = match (uncalled, objection) {
            (None, None) => Ruling::CONTINUE,
            (None, Some(answer)) => self.rule(case, answer),
            (Some(failure), _) => self.failed(case, &failure),
        };
        (ruling, desk)
    }

    fn ready(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        // Being called makes the instance, if there is none yet.
        self.inform(desk, |_, _, desk| (Ok(()), desk))
    }

    fn save(&mut self, desk: Box<Desk>) -> (Result<Option<Saved>, String>, Box<Desk>) {
        let (saved, desk) = self.hand_over(desk);
        (saved.map_err(|failure| failure.to_string()), desk)
    }

    fn restore(
        &mut self,
        saved: Saved,
        revision: u64,
        desk: Box<Desk>,
    ) -> (Result<(), String>, Box<Desk>) {
        let (taken, desk) = self.take_over(saved, revision, desk);
        (taken.map_err(|failure| failure.to_string()), desk)
    }

    fn observe(&mut self, case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.inform(desk, |instance, slot, desk| {
            instance.observe(case, slot, desk)
        })
    }

    fn tick(&mut self, time_ns: u64, missed: u32, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.inform(desk, |instance, slot, desk| {
            instance.tick(time_ns, missed, slot, desk)
        })
    }

    fn notice(&mut self, kind: EventKind, moment: Moment, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.inform(desk, |instance, slot, desk| {
            instance.notice(kind, moment, slot, desk)
        })
    }
}
