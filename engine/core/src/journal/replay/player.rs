//! The instances of a replay, each fed with what is recorded of it.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use oriel_policy::{Desk, Failure, Instance, Saved, Slot};
use oriel_protocol::{EventKind, Moment, Verdict};

use super::{
    Asked, Begun, Called, Cast, How, Judged, Missed, Outcome, ReplayError, Seat, Seen, Tally,
    cast::{Role, Roles},
    script::Script,
    stage::Stage,
};
use crate::{
    failure,
    journal::{entry::Class, failed},
};

/// All instances.
pub(super) struct Players<'a> {
    pub(super) tally: Tally,
    cast: &'a Cast,
    slot: Arc<Slot>,
    roles: Roles,
    players: Vec<Player>,
    /// Which player an instance of the journal is.
    by_number: HashMap<u64, usize>,
    /// The player who has this place now.
    standing: BTreeMap<(String, Seat), usize>,
    stages: BTreeMap<String, Arc<Stage>>,
    /// What a changed instance has handed over, by policy and place.
    handed: BTreeMap<(String, Seat), Saved>,
}

/// One instance.
struct Player {
    role: Role,
    name: String,
    seat: Seat,
    instance: Option<Instance>,
    /// Here between two calls.
    script: Option<Box<Script>>,
}

/// What came of a call.
struct Answer {
    outcome: Outcome,
    unanswered: u64,
    simulated: u64,
}

impl<'a> Players<'a> {
    pub(super) fn new(cast: &'a Cast) -> Self {
        Self {
            tally: Tally::default(),
            cast,
            slot: cast.host.slot(),
            roles: Roles::default(),
            players: Vec::new(),
            by_number: HashMap::new(),
            standing: BTreeMap::new(),
            stages: BTreeMap::new(),
            handed: BTreeMap::new(),
        }
    }

    /// An instance begins.
    pub(super) fn begin(&mut self, begun: &Begun) -> Result<(), ReplayError> {
        let role = self.roles.of(begun, self.cast)?;
        let place = (begun.policy.clone(), begun.seat);
        if begun.instance == 0 && role.exact {
            // None came of it, which is what is told of the events that it missed.
            return Ok(());
        }
        if let Some(at) = self.still_standing(&place, &role) {
            // What would have been made anew has not failed this time.
            self.by_number.insert(begun.instance, at);
            return Ok(());
        }
        self.tally.instances += 1;
        self.tally.exact += u64::from(role.exact);
        let limits = role.policy.limits();
        let stage = self.stages.entry(begun.policy.clone());
        let stage = stage
            .or_insert_with(|| Arc::new(Stage::bounded(limits.store_keys, limits.store_bytes)));
        let mut player = Player {
            script: Some(Box::new(Script::new(role.exact, stage))),
            role,
            name: begun.policy.clone(),
            seat: begun.seat,
            instance: None,
        };
        let answer = player.begin(&self.slot, &begun.said);
        self.count_other(&answer, &begun.outcome);
        let at = self.players.len();
        self.players.push(player);
        self.by_number.insert(begun.instance, at);
        if !begun.on_trial {
            self.standing.insert(place, at);
        }
        Ok(())
    }

    /// The player who has the place of one that is made anew, and lives.
    fn still_standing(&self, place: &(String, Seat), role: &Role) -> Option<usize> {
        let at = *self.standing.get(place)?;
        let player = self.players.get(at)?;
        let same = Arc::ptr_eq(&player.role.policy, &role.policy);
        (same && !role.exact && player.instance.is_some()).then_some(at)
    }

    /// An instance is called.
    pub(super) fn call(&mut self, called: &Called, each: &mut impl FnMut(&Judged<'_>)) {
        let at = self.by_number.get(&called.instance).copied();
        let Some(player) = at.and_then(|at| self.players.get_mut(at)) else {
            self.unknown(called, each);
            return;
        };
        let moment = Moment::from(called.at);
        if player.role.exact && ended_by_the_clock(&called.outcome) {
            player.drop_instance();
            let (name, seat) = (player.name.clone(), player.seat);
            self.tell(
                called,
                (&name, seat),
                (&called.outcome, How::Repeated),
                each,
            );
            return;
        }
        let handed = (player.name.clone(), player.seat);
        let handed = matches!(called.asked, Asked::Restore { .. })
            .then(|| self.handed.remove(&handed))
            .flatten();
        if player.instance.is_none() && !player.role.exact {
            self.tally.restarts += 1;
            player.begin(&self.slot, &[]);
        }
        let answer = player.call(&self.slot, (&called.asked, moment, handed), &called.said);
        let (name, seat, exact) = (player.name.clone(), player.seat, player.role.exact);
        let answer = settle(answer, called, exact);
        if let (false, Outcome::Saved { schema, data }) = (exact, &answer.outcome) {
            let (schema, data) = (*schema, data.clone());
            self.handed
                .insert((name.clone(), seat), Saved { schema, data });
        }
        match &called.asked {
            Asked::Judge(seen) => {
                let told = (&*name, seat, moment, seen.event.kind());
                self.judged(told, (&called.outcome, &answer), How::Asked, each);
            }
            Asked::Observe(_) | Asked::Notice(_) | Asked::Tick { .. } => {
                self.count_other(&answer, &called.outcome);
            }
            Asked::Save | Asked::Restore { .. } => self.count_other(&answer, &called.outcome),
        }
    }

    /// An event of which nobody was asked. One that has been changed may well be there now.
    pub(super) fn miss(&mut self, missed: &Missed, each: &mut impl FnMut(&Judged<'_>)) {
        let moment = Moment::from(missed.at);
        let recorded = Outcome::Failed {
            class: Class::Host,
            reason: missed.reason.clone(),
            answered: Some(missed.answered.clone()),
        };
        let told = (
            &*missed.policy,
            missed.seat,
            moment,
            missed.seen.event.kind(),
        );
        let place = (missed.policy.clone(), missed.seat);
        let at = self.standing.get(&place).copied();
        let player = at.and_then(|at| self.players.get_mut(at));
        let Some(player) = player.filter(|player| !player.role.exact) else {
            let answer = Answer::of(recorded.clone());
            self.judged(told, (&recorded, &answer), How::Repeated, each);
            return;
        };
        if player.instance.is_none() {
            self.tally.restarts += 1;
            player.begin(&self.slot, &[]);
        }
        let asked = Asked::Judge(missed.seen.clone());
        let answer = player.call(&self.slot, (&asked, moment, None), &[]);
        self.judged(told, (&recorded, &answer), How::Asked, each);
    }

    /// An instance is no more.
    pub(super) fn leave(&mut self, number: u64) {
        let at = self.by_number.remove(&number);
        let Some(at) = at else {
            return;
        };
        // One that has taken the place of several is still one of them.
        if !self.by_number.values().any(|other| *other == at)
            && let Some(player) = self.players.get_mut(at)
            && player.role.exact
        {
            player.drop_instance();
        }
    }

    fn unknown(&mut self, called: &Called, each: &mut impl FnMut(&Judged<'_>)) {
        self.tell(
            called,
            ("", Seat::Probe),
            (&called.outcome, How::Unknown),
            each,
        );
    }

    /// Tells of a call that is not made again.
    fn tell(
        &mut self,
        called: &Called,
        (name, seat): (&str, Seat),
        (outcome, how): (&Outcome, How),
        each: &mut impl FnMut(&Judged<'_>),
    ) {
        if let Asked::Judge(seen) = &called.asked {
            let told = (name, seat, Moment::from(called.at), seen.event.kind());
            let answer = Answer::of(outcome.clone());
            self.judged(told, (&called.outcome, &answer), how, each);
        }
    }

    fn judged(
        &mut self,
        (policy, seat, moment, kind): (&str, Seat, Moment, EventKind),
        (recorded, answer): (&Outcome, &Answer),
        how: How,
        each: &mut impl FnMut(&Judged<'_>),
    ) {
        let tally = &mut self.tally;
        tally.events += 1;
        tally.unanswered += answer.unanswered;
        tally.simulated += answer.simulated;
        match how {
            How::Unknown => tally.unknown += 1,
            How::Repeated => tally.repeated += 1,
            How::Asked if answer.outcome == *recorded => tally.same += 1,
            How::Asked => tally.changed += 1,
        }
        each(&Judged {
            policy,
            seat,
            moment,
            kind,
            recorded,
            replayed: &answer.outcome,
            how,
            unanswered: answer.unanswered,
        });
    }

    fn count_other(&mut self, answer: &Answer, recorded: &Outcome) {
        self.tally.unanswered += answer.unanswered;
        self.tally.simulated += answer.simulated;
        if answer.outcome == *recorded {
            self.tally.others_same += 1;
        } else {
            self.tally.others_changed += 1;
        }
    }
}

/// A failure of the same code is answered as it was then: by the operator's word, which the journal
/// does not hold.
fn settle(answer: Answer, called: &Called, exact: bool) -> Answer {
    match (&answer.outcome, &called.outcome) {
        (
            Outcome::Failed { class, reason, .. },
            Outcome::Failed {
                class: then,
                reason: because,
                ..
            },
        ) if exact && (class, reason) == (then, because) => Answer {
            outcome: called.outcome.clone(),
            ..answer
        },
        _ => answer,
    }
}

fn ended_by_the_clock(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed { class, .. } => !class.is_repeatable(),
        Outcome::Continue | Outcome::Verdict(_) | Outcome::Done | Outcome::Saved { .. } => false,
    }
}

impl Answer {
    const fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            unanswered: 0,
            simulated: 0,
        }
    }
}

impl Player {
    /// Makes its instance.
    fn begin(&mut self, slot: &Arc<Slot>, said: &[u8]) -> Answer {
        let script = self.script(said);
        let place = self.seat.into();
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

    fn call(
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
            script.unanswered += 1;
        }
        script.close();
        let (unanswered, simulated) = (script.unanswered, script.simulated);
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

    fn drop_instance(&mut self) {
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
