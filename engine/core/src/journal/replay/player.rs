//! One instance of a replay, fed with what is recorded of it.

use std::{any::Any, sync::Arc};

use oriel_policy::{Desk, Failure, Instance, Saved, Slot};
use oriel_protocol::{Moment, Verdict};

use super::{Asked, Outcome, Seat, Seen, cast::Role, script::Script, stage::Stage};
use crate::{
    failure,
    journal::{failed, terms},
};

/// One instance.
pub(super) struct Player {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) seat: Seat,
    pub(super) instance: Option<Instance>,
    /// Here between two calls.
    script: Option<Box<Script>>,
}

/// The same code did not ask again what it had asked.
const LEFT_OUT: &str = "left-out";

/// What came of a call.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Commands that could not be answered, by name.
    pub(super) unanswered: Vec<&'static str>,
    pub(super) simulated: u64,
}

impl Answer {
    pub(super) const fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            unanswered: Vec::new(),
            simulated: 0,
        }
    }
}

impl Player {
    pub(super) fn new(role: Role, (name, seat): (&str, Seat), stage: &Arc<Stage>) -> Self {
        Self {
            script: Some(Box::new(Script::new(role.exact, stage))),
            role,
            name: name.to_owned(),
            seat,
            instance: None,
        }
    }

    /// Makes its instance.
    pub(super) fn begin(&mut self, slot: &Arc<Slot>, said: &[u8]) -> Answer {
        let script = self.script(said);
        let place = terms::place(self.seat);
        let (made, lent) = self.role.policy.instantiate(place, slot, script);
        let outcome = match made {
            Ok(instance) => {
                self.instance = Some(instance);
                Outcome::Done
            }
            Err(failure) => failed(&failure, None),
        };
        self.close(outcome, lent)
    }

    pub(super) fn call(
        &mut self,
        slot: &Arc<Slot>,
        (asked, moment, handed): (&Asked, Moment, Option<Saved>),
        said: &[u8],
    ) -> Answer {
        let script = self.script(said);
        let Some(instance) = &mut self.instance else {
            return self.without(asked, script);
        };
        let (outcome, lent) = match asked {
            Asked::Judge(seen) => {
                let (answer, lent) = instance.judge(&seen.case(moment), slot, script);
                (self.judgement(answer, seen), lent)
            }
            Asked::Observe(seen) => {
                let (answer, lent) = instance.observe(&seen.case(moment), slot, script);
                (done(answer), lent)
            }
            Asked::Notice(kind) => {
                let (answer, lent) = instance.notice(*kind, moment, slot, script);
                (done(answer), lent)
            }
            Asked::Tick { missed } => {
                let (answer, lent) = instance.tick(moment.time_ns, *missed, slot, script);
                (done(answer), lent)
            }
            Asked::Save => {
                let (answer, lent) = instance.save(slot, script);
                (saved(answer), lent)
            }
            Asked::Restore {
                schema,
                data,
                revision,
            } => {
                let recorded = || Saved {
                    schema: *schema,
                    data: data.clone(),
                };
                let saved = handed.unwrap_or_else(recorded);
                let (answer, lent) = instance.restore(saved, *revision, slot, script);
                (done(answer), lent)
            }
        };
        self.close(outcome, lent)
    }

    /// There is no instance, and none could be made.
    fn without(&mut self, asked: &Asked, script: Box<Script>) -> Answer {
        let outcome = match asked {
            Asked::Judge(seen) => self.judgement(Err(Failure::Dead), seen),
            Asked::Observe(_) | Asked::Notice(_) | Asked::Tick { .. } => {
                failed(&Failure::Dead, None)
            }
            Asked::Save | Asked::Restore { .. } => failed(&Failure::Dead, None),
        };
        self.close(outcome, script)
    }

    fn judgement(&self, answer: Result<Verdict, Failure>, seen: &Seen) -> Outcome {
        match answer {
            Ok(Verdict::Continue) => Outcome::Continue,
            Ok(verdict) => Outcome::Verdict(verdict),
            Err(failure) => {
                let mode = self.role.policy.failure_mode(seen.event.kind());
                failed(&failure, Some(failure::verdict(mode, &seen.event)))
            }
        }
    }

    fn script(&mut self, said: &[u8]) -> Box<Script> {
        let mut script = self
            .script
            .take()
            .expect("a script is there between two calls");
        script.turn(said);
        script
    }

    /// Takes the script back, and gives up an instance that has failed.
    fn close(&mut self, outcome: Outcome, lent: Box<dyn Desk>) -> Answer {
        let lent: Box<dyn Any> = lent;
        let mut script: Box<Script> = lent
            .downcast()
            .expect("a policy gives back the desk that it was lent");
        if self.role.exact && !script.is_through() {
            // It did not ask all that it had asked then.
            script.unanswered.push(LEFT_OUT);
        }
        script.close();
        let unanswered = std::mem::take(&mut script.unanswered);
        let simulated = script.simulated;
        self.script = Some(script);
        if self.instance.as_ref().is_some_and(Instance::is_dead) {
            self.drop_instance();
        }
        Answer {
            outcome,
            unanswered,
            simulated,
        }
    }

    pub(super) fn drop_instance(&mut self) {
        self.instance = None;
    }
}

fn done(answer: Result<(), Failure>) -> Outcome {
    answer.map_or_else(|failure| failed(&failure, None), |()| Outcome::Done)
}

fn saved(answer: Result<Saved, Failure>) -> Outcome {
    match answer {
        Ok(Saved { schema, data }) => Outcome::Saved { schema, data },
        Err(failure) => failed(&failure, None),
    }
}
