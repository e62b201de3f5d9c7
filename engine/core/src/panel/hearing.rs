//! One event before its judges: from the first that is asked to the verdict that stands.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use oriel_policy::Slot;
use oriel_protocol::{Case, Event, Moment, Verdict};

use super::{
    Lapsed, Listener, Role, Seat,
    notes::{Notes, stopped},
    trial::Overheard,
};
use crate::{
    desk::Desk,
    failure,
    judge::Ruling,
    record::{Failed, Opinion},
    roster::Posts,
    round::Round,
    shared::Shared,
};

/// One event before its judges.
pub(super) struct Hearing<'a> {
    event: &'a Event,
    moment: Moment,
    round: Round,
    /// Kept where somebody wants to know.
    notes: Option<Notes>,
    /// Judges that failed, and begin anew afterwards.
    lapsed: Lapsed,
    slot: &'a Slot,
    posts: &'a Posts,
    total: Duration,
    overheard: Overheard,
    /// All judges of the event share its time, but for those that wait for somebody else.
    time: Option<oriel_policy::Round<'a>>,
}

impl<'a> Hearing<'a> {
    /// From here on the judges' time runs.
    pub(super) fn open(
        shared: &'a Shared,
        slot: &'a Slot,
        moment: Moment,
        event: &'a Event,
    ) -> Self {
        let notes = shared.sink.is_some().then(Notes::default);
        let total = shared.settings.round;
        Self {
            event,
            moment,
            round: Round::new(event),
            notes,
            lapsed: None,
            overheard: Overheard::default(),
            slot,
            posts: &shared.posts,
            total,
            time: Some(slot.round(total)),
        }
    }

    /// Nobody further is asked.
    pub(super) fn is_over(&self) -> bool {
        self.round.is_over()
    }

    /// Asks one judge. The moment is the hearing's own: read back from there right after it was
    /// written, it would keep the processor waiting.
    #[inline]
    pub(super) fn ask(
        &mut self,
        (listener, tag): (&Listener, u64),
        moment: Moment,
        seat: &mut Seat,
        mut desk: Box<Desk>,
    ) -> Box<Desk> {
        let case = Case {
            event: self.event,
            moment,
            proposed: self.round.proposed(),
            decided: self.round.decided(),
            tag,
        };
        desk.open(seat.owner, moment);
        let started = self.notes.is_some().then(Instant::now);
        let apart = seat.is_apart();
        if apart {
            self.set_apart(seat);
        }
        let (ruling, mut desk) = if listener.observes() {
            seat.judge.observe(&case, desk)
        } else {
            seat.judge.judge(&case, desk)
        };
        if apart {
            self.time = Some(self.slot.round(self.total));
        }
        desk.close();
        if !ruling.is_continue() || !matches!(seat.role, Role::InForce) {
            self.weigh(seat, listener, ruling, started);
        } else if started.is_some() {
            self.note(seat, &ruling, started);
        }
        desk
    }

    /// Keeps the time of one that waits for somebody else, or is on trial, from those that are
    /// obeyed.
    #[cold]
    fn set_apart(&mut self, seat: &Seat) {
        self.time = None;
        if matches!(seat.role, Role::OnTrial(_)) {
            self.time = Some(self.slot.round(self.total));
        }
    }

    /// What comes of an answer that is not just `continue`, or not just its judge's.
    #[cold]
    fn weigh(
        &mut self,
        seat: &Seat,
        listener: &Listener,
        ruling: Ruling,
        started: Option<Instant>,
    ) {
        if let Role::OnTrial(trial) = &seat.role {
            if !listener.observes() {
                self.overheard.note(trial, &ruling);
            }
            return;
        }
        if ruling.is_continue() {
            self.compare(seat, listener, &Verdict::Continue);
            return self.note(seat, &ruling, started);
        }
        let ruling = failure::lawful(ruling, self.event);
        if let Some(lapse) = ruling.failure() {
            self.posts.lapsed(seat.owner, &lapse.reason);
            self.lapsed.get_or_insert_default().push(seat.owner);
        }
        self.compare(seat, listener, ruling.verdict());
        self.note(seat, &ruling, started);
        let conflict = self.round.add(listener.seat(), ruling.into_verdict());
        if let (Some(conflict), Some(notes)) = (conflict, &mut self.notes) {
            notes.conflicts.push(conflict);
        }
    }

    /// Compares what the judge in force says with what the one at its side would have said.
    fn compare(&mut self, seat: &Seat, listener: &Listener, verdict: &Verdict) {
        if let Role::Compared(trial) = &seat.role
            && !listener.observes()
        {
            self.overheard
                .compare(trial, (self.event, self.moment), verdict);
        }
    }

    #[inline(never)]
    fn note(&mut self, seat: &Seat, ruling: &Ruling, started: Option<Instant>) {
        let (Some(notes), Some(started)) = (&mut self.notes, started) else {
            return;
        };
        let ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        notes.opinions.push(Opinion {
            judge: seat.name.clone(),
            revision: seat.revision,
            verdict: ruling.verdict().clone(),
            ns,
        });
        if let Some(lapse) = ruling.failure() {
            notes.failures.push(Failed {
                judge: seat.name.clone(),
                moment: self.moment,
                kind: Some(self.event.kind()),
                failure: lapse.reason.clone(),
                verdict: ruling.verdict().clone(),
                quarantined: lapse.quarantined,
            });
        }
    }

    /// The verdict that stands, told to whoever listens, and the judges that failed.
    pub(super) fn close(self, shared: &Arc<Shared>, seats: &[Seat]) -> (Ruling, Lapsed) {
        self.overheard.close(self.event, self.moment);
        let ruling = match self.round.by() {
            None => Ruling::CONTINUE,
            Some(by) => {
                if self.round.is_over() {
                    shared.tell(|| stopped(seats.get(by), self.event, self.moment));
                }
                Ruling::from(self.round.into_verdict())
            }
        };
        if let (Some(notes), Some(sink)) = (self.notes, &shared.sink) {
            let said = (self.event, self.moment, &ruling);
            notes.publish(&**sink, said, seats);
        }
        (ruling, self.lapsed)
    }
}
