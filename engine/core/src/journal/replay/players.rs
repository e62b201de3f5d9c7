//! The instances of a replay together: which of them an entry is about, and what is counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use oriel_policy::{Saved, Slot};
use oriel_protocol::{EventKind, Moment};

use super::{
    Asked, Begun, Called, Cast, How, Judged, Missed, Outcome, ReplayError, Seat, Tally,
    cast::{Role, Roles},
    player::{Answer, Player},
    stage::Stage,
};
use crate::journal::entry::Class;

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
        let mut player = Player::new(role, (&begun.policy, begun.seat), stage);
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
        let handed = match &called.asked {
            Asked::Restore { .. } => self.handed.remove(&(player.name.clone(), player.seat)),
            Asked::Judge(_) | Asked::Observe(_) | Asked::Notice(_) => None,
            Asked::Tick { .. } | Asked::Save => None,
        };
        if player.instance.is_none() && !player.role.exact {
            self.tally.restarts += 1;
            player.begin(&self.slot, &[]);
        }
        let answer = player.call(&self.slot, (&called.asked, moment, handed), &called.said);
        let (name, seat, exact) = (player.name.clone(), player.seat, player.role.exact);
        self.answered(called, (name, seat, exact), answer, each);
    }

    /// Counts an answer, and keeps what a changed instance hands over.
    fn answered(
        &mut self,
        called: &Called,
        (name, seat, exact): (String, Seat, bool),
        answer: Answer,
        each: &mut impl FnMut(&Judged<'_>),
    ) {
        let answer = settle(answer, called, exact);
        if let Asked::Judge(seen) = &called.asked {
            let told = (&*name, seat, called.at.into(), seen.event.kind());
            self.judged(told, (&called.outcome, &answer), (How::Asked, exact), each);
            return;
        }
        self.count_other(&answer, &called.outcome);
        if let (false, Outcome::Saved { schema, data }) = (exact, answer.outcome) {
            self.handed.insert((name, seat), Saved { schema, data });
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
            self.judged(told, (&recorded, &answer), (How::Repeated, true), each);
            return;
        };
        if player.instance.is_none() {
            self.tally.restarts += 1;
            player.begin(&self.slot, &[]);
        }
        let asked = Asked::Judge(missed.seen.clone());
        let answer = player.call(&self.slot, (&asked, moment, None), &[]);
        self.judged(told, (&recorded, &answer), (How::Asked, false), each);
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
            self.judged(told, (&called.outcome, &answer), (how, true), each);
        }
    }

    fn judged(
        &mut self,
        (policy, seat, moment, kind): (&str, Seat, Moment, EventKind),
        (recorded, answer): (&Outcome, &Answer),
        (how, exact): (How, bool),
        each: &mut impl FnMut(&Judged<'_>),
    ) {
        self.count_commands(answer);
        let judged = Judged {
            policy,
            seat,
            moment,
            kind,
            recorded,
            replayed: &answer.outcome,
            how,
            exact,
            unanswered: answer.unanswered.len() as u64,
        };
        let tally = &mut self.tally;
        tally.events += 1;
        match how {
            How::Unknown => tally.unknown += 1,
            How::Repeated => tally.repeated += 1,
            How::Asked if judged.differs_from(recorded) => tally.changed += 1,
            How::Asked => tally.same += 1,
        }
        each(&judged);
    }

    fn count_commands(&mut self, answer: &Answer) {
        let tally = &mut self.tally;
        tally.simulated += answer.simulated;
        tally.unanswered += answer.unanswered.len() as u64;
        for command in &answer.unanswered {
            *tally.unanswered_by.entry(command).or_default() += 1;
        }
    }

    fn count_other(&mut self, answer: &Answer, recorded: &Outcome) {
        self.count_commands(answer);
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
