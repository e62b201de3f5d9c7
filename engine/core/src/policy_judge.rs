//! A policy as a judge: keeps its instance alive, and answers for it when it fails.

mod conduct;
mod home;

use std::sync::Arc;

use oriel_policy::{Failure, Host, Instance, Place, Policy, Slot};
use oriel_protocol::{Case, EventKind, Moment, Observation, Verdict};

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
    /// Calls the instance, making it anew first if the last one failed.
    fn call<T>(
        &mut self,
        desk: Box<Desk>,
        call: impl FnOnce(&mut Instance, &Arc<Slot>, Box<Desk>) -> (Result<T, Failure>, Box<Desk>),
    ) -> (Result<T, Failure>, Box<Desk>) {
        let (found, desk) = self.home.take(desk);
        let held = match found {
            Ok(held) => held,
            Err(failure) => return (Err(failure), desk),
        };
        let place = self.home.place(desk.index());
        let (ready, desk) = match held {
            Some(instance) => (Ok(instance), desk),
            None => self.instantiate(place, desk),
        };
        let mut instance = match ready {
            Ok(instance) => instance,
            Err(failure) => {
                self.home.put(None, &desk);
                return (Err(failure), desk);
            }
        };
        let (answer, desk) = call(&mut instance, &self.slot, desk);
        let alive = if instance.is_dead() {
            self.retire(instance)
        } else {
            Some(instance)
        };
        self.home.put(alive, &desk);
        (answer, desk)
    }

    fn instantiate(&self, place: Place, desk: Box<Desk>) -> (Result<Instance, Failure>, Box<Desk>) {
        let (made, lent) = self.policy.instantiate(place, &self.slot, desk);
        (made, Desk::back(lent))
    }

    /// Dropping an instance unmaps memory, which is not for a vCPU's thread.
    fn retire(&self, instance: Instance) -> Option<Instance> {
        self.host.retire(instance);
        None
    }

    /// What stands in for the verdict of a policy that failed.
    fn lapse(&self, failure: &Failure, verdict: Verdict) -> Ruling {
        let quarantined = self.conduct.strike(failure);
        Ruling {
            verdict,
            failure: Some(Lapse {
                reason: failure.to_string(),
                quarantined,
            }),
        }
    }

    fn rule(&self, case: &Case<'_>, answer: Result<Verdict, Failure>) -> Ruling {
        match answer {
            Ok(verdict) => verdict.into(),
            Err(failure) => {
                let mode = self.policy.failure_mode(case.event.kind());
                self.lapse(&failure, failure::verdict(mode, case.event))
            }
        }
    }
}

impl Judge for PolicyJudge {
    fn judge(&mut self, case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            let mode = self.policy.failure_mode(case.event.kind());
            return (failure::verdict(mode, case.event).into(), desk);
        }
        let (answer, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.judge(case, slot, desk);
            (answer, Desk::back(lent))
        });
        (self.rule(case, answer), desk)
    }

    fn ready(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        // Taking the instance makes it, if there is none yet.
        let (answer, desk) = self.call(desk, |_, _, desk| (Ok(()), desk));
        (self.told(answer), desk)
    }

    fn observe(
        &mut self,
        seen: &Observation,
        case: &Case<'_>,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            return (Verdict::Continue.into(), desk);
        }
        let (answer, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.observe(seen, case, slot, desk);
            (answer, Desk::back(lent))
        });
        (self.told(answer), desk)
    }

    fn tick(&mut self, time_ns: u64, missed: u32, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            return (Verdict::Continue.into(), desk);
        }
        let (answer, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.tick(time_ns, missed, slot, desk);
            (answer, Desk::back(lent))
        });
        (self.told(answer), desk)
    }

    fn notice(&mut self, kind: EventKind, moment: Moment, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        if self.conduct.is_quarantined() {
            return (Verdict::Continue.into(), desk);
        }
        let (answer, desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.notice(kind, moment, slot, desk);
            (answer, Desk::back(lent))
        });
        (self.told(answer), desk)
    }
}

impl PolicyJudge {
    /// What takes no answer lets the guest go on, whatever became of the policy.
    fn told(&self, answer: Result<(), Failure>) -> Ruling {
        match answer {
            Ok(()) => Verdict::Continue.into(),
            Err(failure) => self.lapse(&failure, Verdict::Continue),
        }
    }
}
