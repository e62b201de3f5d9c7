//! A policy as a judge: keeps its instance alive, and answers for it when it fails.

mod breaker;
mod carry;
mod conduct;
mod home;
mod lapse;
mod noted;
mod report;

use std::sync::Arc;

use oriel_policy::{Answer, Failure, Host, Instance, Place, Policy, Saved, Slot};
use oriel_protocol::{Case, EventKind, Moment, Verdict};

use crate::{
    desk::Desk,
    journal::{
        self, Journal, Tape,
        entry::{Asked, Seen},
    },
    judge::{Judge, Ruling},
};
use breaker::{Breaker, Broken};
pub use conduct::Standing;
pub(crate) use conduct::{Conduct, Conducts};
pub(crate) use home::{Home, Turn};
use lapse::Occasion;
pub use report::FailureReport;

/// A policy's judge on one vCPU.
pub(crate) struct PolicyJudge {
    pub(crate) host: Arc<Host>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) home: Home,
    pub(crate) conduct: Arc<Conduct>,
    breaker: Breaker,
    /// Where its calls are noted; none: nowhere.
    tape: Option<Box<Tape>>,
}

/// A desk on its way to a policy, or back.
type Lent = Box<dyn oriel_policy::Desk>;

/// Why an instance was not called.
enum Uncalled {
    /// None could be had.
    Failed(Failure),
    /// The last ones have failed, and it is too early to try again.
    Resting,
}

impl PolicyJudge {
    /// The judge of this policy, whose instance lives there.
    pub(crate) fn new(
        host: Arc<Host>,
        policy: Arc<Policy>,
        slot: Arc<Slot>,
        home: Home,
        conduct: Arc<Conduct>,
    ) -> Self {
        let breaker = Breaker::default();
        Self {
            host,
            policy,
            slot,
            home,
            conduct,
            breaker,
            tape: None,
        }
    }

    /// With its calls written down in this journal, if there is one.
    pub(crate) fn noted_in(mut self, journal: Option<&Arc<Journal>>) -> Self {
        self.tape = journal.map(|journal| Box::new(Tape::new(journal)));
        self
    }

    /// Calls the instance, making it anew first if the last one failed; answers why it could not
    /// be called. The reason is boxed because there hardly ever is one.
    #[inline]
    fn call(
        &mut self,
        mut desk: Box<Desk>,
        call: impl FnOnce(&mut Instance, &Arc<Slot>, Lent) -> Lent,
    ) -> (Option<Box<Uncalled>>, Box<Desk>) {
        let mut uncalled = None;
        if self.home.is_empty() {
            (uncalled, desk) = self.furnish(desk);
        }
        let shared = self.home.is_shared();
        if let Some(instance) = self.home.instance() {
            let lent: Lent = match &mut self.tape {
                None => desk,
                Some(tape) => tape.lend(instance, shared, desk),
            };
            let lent = call(instance, &self.slot, lent);
            desk = match &mut self.tape {
                None => Desk::back(lent),
                Some(tape) => tape.back(lent),
            };
            if instance.is_dead() || instance.is_worn() {
                self.retire();
            }
        }
        self.home.leave(&desk);
        self.tell_dropped(&desk);
        (uncalled, desk)
    }

    /// Waits for the turn, if turns are taken, and makes an instance if there is none then.
    #[cold]
    fn furnish(&mut self, desk: Box<Desk>) -> (Option<Box<Uncalled>>, Box<Desk>) {
        let (entered, desk) = self.home.enter(desk);
        if let Err(failure) = entered {
            return (Some(Box::new(Uncalled::Failed(failure))), desk);
        }
        if !self.home.is_empty() {
            return (None, desk);
        }
        if self.breaker.rests() {
            return (Some(Box::new(Uncalled::Resting)), desk);
        }
        let place = self.home.place(desk.index());
        let (made, desk) = self.instantiate(place, desk);
        let made = made.map(|instance| self.home.settle(instance));
        if let Err(failure) = &made {
            self.trip(Broken::Beginning, failure);
        }
        let failed = |failure| Box::new(Uncalled::Failed(failure));
        (made.err().map(failed), desk)
    }

    fn instantiate(&self, place: Place, desk: Box<Desk>) -> (Result<Instance, Failure>, Box<Desk>) {
        if let Some(tape) = &self.tape {
            return journal::instantiate(tape.journal(), (&self.policy, place), &self.slot, desk);
        }
        let (made, lent) = self.policy.instantiate(place, &self.slot, desk);
        (made, Desk::back(lent))
    }

    /// Gives up an instance that cannot be called any more, or has grown too large. Dropping it unmaps memory, which is
    /// not for a vCPU's thread.
    #[cold]
    fn retire(&mut self) {
        if let Some(dead) = self.home.vacate() {
            if let Some(tape) = &self.tape {
                tape.journal().gone(dead.number());
            }
            self.host.retire(dead);
        }
    }

    /// Counts a failure towards a pause. That others have used up the time says nothing of it.
    fn trip(&mut self, what: Broken, failure: &Failure) {
        if *failure != Failure::RoundOver {
            self.breaker.failed(what);
        }
    }

    /// What a policy said, or what stands in for it.
    fn rule(
        &mut self,
        case: &Case<'_>,
        answer: Result<Verdict, Failure>,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        match answer {
            Ok(verdict) => {
                self.breaker.well();
                (verdict.into(), desk)
            }
            Err(failure) => {
                self.trip(Broken::Call, &failure);
                self.failed(case, &failure, desk)
            }
        }
    }

    /// What stands in for a policy of which there is no instance.
    #[cold]
    fn rule_uncalled(
        &self,
        case: &Case<'_>,
        uncalled: &Uncalled,
        desk: Box<Desk>,
    ) -> (Ruling, Box<Desk>) {
        match uncalled {
            Uncalled::Failed(failure) => {
                let (ruling, mut desk) = self.failed(case, failure, desk);
                self.note_missed(case, &failure.to_string(), &ruling, &mut desk);
                (ruling, desk)
            }
            Uncalled::Resting => self.pass_over(case, desk),
        }
    }

    /// What stands in for a policy that is not asked.
    #[cold]
    fn pass_over(&self, case: &Case<'_>, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let ruling = self.unasked(case.event);
        self.note_missed(case, "it was not asked, after failures", &ruling, &mut desk);
        (ruling, desk)
    }

    /// Calls something that takes no answer. The guest goes on, whatever becomes of the policy.
    fn inform(
        &mut self,
        (occasion, asked): (Occasion<'_>, impl FnOnce() -> Option<Asked>),
        desk: Box<Desk>,
        call: impl FnOnce(&mut Instance, &Arc<Slot>, Lent) -> Answer<()>,
    ) -> (Ruling, Box<Desk>) {
        if !self.conduct.is_asked() {
            return (Ruling::CONTINUE, desk);
        }
        let mut told = Ok(());
        let (uncalled, mut desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = call(instance, slot, desk);
            told = answer;
            lent
        });
        if uncalled.is_none() {
            self.note_informed(asked, &told, &mut desk);
        }
        let failure = match (uncalled.map(|reason| *reason), told) {
            (Some(Uncalled::Failed(failure)), _) => failure,
            (Some(Uncalled::Resting), _) | (None, Ok(())) => return (Ruling::CONTINUE, desk),
            (None, Err(failure)) => {
                self.trip(Broken::Call, &failure);
                failure
            }
        };
        let ruling = self.failed_untold(occasion, &failure, &mut desk);
        (ruling, desk)
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
        if !self.conduct.is_asked() {
            return self.pass_over(case, desk);
        }
        // Most events continue. Handing that on as a constant, and not as a result within a
        // result, saves a tenth of the whole path.
        let mut objection = None;
        let (uncalled, mut desk) = self.call(desk, |instance, slot, desk| {
            let (answer, lent) = instance.judge(case, slot, desk);
            if !matches!(answer, Ok(Verdict::Continue)) {
                objection = Some(answer);
            }
            lent
        });
        match (uncalled, objection) {
            (None, None) => {
                self.breaker.well();
                if self.tape.is_some() {
                    self.note_continued(case, &mut desk);
                }
                (Ruling::CONTINUE, desk)
            }
            (None, Some(answer)) => self.rule_noted(case, answer, desk),
            (Some(uncalled), _) => self.rule_uncalled(case, &uncalled, desk),
        }
    }

    fn ready(&mut self, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.enrol(&desk);
        // Being called makes the instance, if there is none yet.
        self.inform((Occasion::default(), || None), desk, |_, _, desk| {
            (Ok(()), desk)
        })
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
        let asked = || Some(Asked::Observe(Seen::of(case)));
        self.inform((Occasion::of(case), asked), desk, |instance, slot, desk| {
            instance.observe(case, slot, desk)
        })
    }

    fn tick(&mut self, time_ns: u64, missed: u32, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let asked = || Some(Asked::Tick { missed });
        self.inform(
            (Occasion::default(), asked),
            desk,
            |instance, slot, desk| instance.tick(time_ns, missed, slot, desk),
        )
    }

    fn notice(&mut self, kind: EventKind, moment: Moment, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let occasion = Occasion {
            kind: Some(kind),
            event: None,
        };
        let asked = || Some(Asked::Notice(kind));
        self.inform((occasion, asked), desk, |instance, slot, desk| {
            instance.notice(kind, moment, slot, desk)
        })
    }
}
