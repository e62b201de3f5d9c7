//! The judges of one vCPU, in the operator's order, and who of them hears what.
//!
//! A panel belongs to its vCPU's thread. Between two events it looks at the ledger's generation
//! and takes what has changed; nothing on the path of an event is shared with other vCPUs.

mod hearing;
mod listener;
mod notes;
mod seating;
mod sharing;
mod trial;

use std::sync::Arc;

use oriel_policy::Slot;
use oriel_protocol::{Event, EventKind, Moment};

use crate::{
    desk::Desk, judge::Judge, judge::Ruling, record::Failed, record::Record, shared::Shared,
};
use hearing::Hearing;
use listener::Listener;
pub(crate) use sharing::Pair;
use sharing::Sharing;
pub(crate) use trial::Trial;

/// A judge with its name.
pub struct Seat {
    /// Its number at the gate and in the ledger.
    pub owner: usize,
    /// As records show it.
    pub name: Arc<str>,
    /// Which revision of a policy it is; 0 of what has none.
    pub revision: u64,
    /// Who judges.
    pub judge: Box<dyn Judge>,
    /// It is on trial, or has one at its side that is.
    pub(crate) role: Role,
}

impl Seat {
    /// Whether its time is not that of the event's other judges.
    #[inline]
    fn is_apart(&self) -> bool {
        matches!(self.role, Role::OnTrial(_)) || self.judge.is_patient()
    }
}

/// Whether a judge is obeyed.
#[derive(Clone, Debug, Default)]
pub(crate) enum Role {
    /// It is.
    #[default]
    InForce,
    /// It is, and another is compared with it.
    Compared(Arc<Trial>),
    /// Nobody obeys it.
    OnTrial(Arc<Trial>),
}

/// The owners of the judges that failed in an event; hardly ever any.
type Lapsed = Option<Box<Vec<usize>>>;

/// The judges of one vCPU.
pub struct Panel {
    vcpu: u32,
    shared: Arc<Shared>,
    /// Where this thread says that it is inside a policy.
    slot: Arc<Slot>,
    seats: Vec<Seat>,
    /// For each kind, those who listen to it, in order.
    by_kind: Vec<Vec<Listener>>,
    /// Two revisions share the events; hardly ever.
    sharing: Option<Box<Sharing>>,
    generation: u64,
    seq: u64,
}

impl Panel {
    /// A panel of these judges, in this order.
    pub fn new(vcpu: u32, shared: Arc<Shared>, slot: Arc<Slot>, seats: Vec<Seat>) -> Self {
        let by_kind = EventKind::ALL.iter().map(|_| Vec::new()).collect();
        let mut panel = Self {
            vcpu,
            shared,
            slot,
            seats,
            by_kind,
            sharing: None,
            generation: 0,
            seq: 0,
        };
        panel.refresh();
        panel
    }

    /// Where this panel's thread says that it is inside a policy.
    pub(crate) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// How many events passed the filters.
    pub fn events(&self) -> u64 {
        self.seq
    }

    /// Asks everybody whose business the event is, and adds up their verdicts.
    pub fn judge(&mut self, desk: Box<Desk>, event: &Event) -> (Ruling, Box<Desk>) {
        if self.generation != self.shared.ledger.generation() {
            self.refresh();
        }
        if self.by_kind[event.kind() as usize].is_empty() {
            return (Ruling::CONTINUE, desk);
        }
        let (ruling, lapsed, desk) = self.hear(desk, event);
        match lapsed {
            None => (ruling, desk),
            Some(lapsed) => (ruling, self.restore(*lapsed, desk)),
        }
    }

    /// The verdict that stands, and the judges that failed.
    #[inline]
    fn hear(&mut self, mut desk: Box<Desk>, event: &Event) -> (Ruling, Lapsed, Box<Desk>) {
        let Self {
            shared,
            slot,
            seats,
            by_kind,
            sharing,
            seq,
            ..
        } = self;
        let listeners = &mut by_kind[event.kind() as usize];
        let meets = |listener: &Listener| listener.meets(event, desk.index()).is_some();
        let passed_over = sharing
            .as_mut()
            .and_then(|sharing| sharing.passed_over(listeners, meets));
        let heard = listeners.iter_mut();
        let mut listeners = heard.filter(|one| passed_over != Some(one.owner()));
        let mut next = accepting(&mut listeners, event, &desk);
        if next.is_none() {
            return (Ruling::CONTINUE, None, desk);
        }
        *seq += 1;
        let moment = Moment {
            vcpu: desk.index(),
            seq: *seq,
            time_ns: shared.now(),
        };
        let mut hearing = Hearing::open(shared, slot, moment, event);
        while let Some((listener, tag)) = next {
            if let Some(seat) = seats.get_mut(listener.seat()) {
                desk = hearing.ask((listener, tag), moment, seat, desk);
            }
            if hearing.is_over() {
                break;
            }
            next = accepting(&mut listeners, event, &desk);
        }
        let (ruling, lapsed) = hearing.close(shared, seats);
        (ruling, lapsed, desk)
    }

    /// Lets judges that failed begin anew, now that the time of the event is not running.
    #[cold]
    fn restore(&mut self, lapsed: Vec<usize>, mut desk: Box<Desk>) -> Box<Desk> {
        let moment = self.moment(&desk);
        for owner in lapsed {
            desk = self.prepare(owner, moment, desk);
        }
        desk
    }

    /// Lets every judge get ready, whatever it listens to.
    pub fn ready(&mut self, mut desk: Box<Desk>) -> Box<Desk> {
        let moment = self.moment(&desk);
        let owners: Vec<_> = self.seats.iter().map(|seat| seat.owner).collect();
        for owner in owners {
            desk = self.prepare(owner, moment, desk);
        }
        desk
    }

    fn prepare(&mut self, owner: usize, moment: Moment, mut desk: Box<Desk>) -> Box<Desk> {
        let Some(seat) = self.seat_of(owner) else {
            return desk;
        };
        desk.open(owner, moment);
        let (ruling, mut desk) = seat.judge.ready(desk);
        desk.close();
        let who = (owner, seat.name.clone());
        self.shared.tell_lapse(who, moment, None, &ruling);
        desk
    }

    /// What it is now, for a vCPU between two events.
    pub(crate) fn moment(&self, desk: &Desk) -> Moment {
        Moment {
            vcpu: desk.index(),
            seq: self.seq,
            time_ns: self.shared.now(),
        }
    }

    /// Tells everybody who listens of something that takes no answer.
    pub fn notice(&mut self, kind: EventKind, mut desk: Box<Desk>) -> Box<Desk> {
        if self.generation != self.shared.ledger.generation() {
            self.refresh();
        }
        let moment = self.moment(&desk);
        let listeners = &self.by_kind[kind as usize];
        let sharing = self.sharing.as_mut();
        let passed_over =
            sharing.and_then(|sharing| sharing.passed_over(listeners, |one| !one.observes()));
        let told = |one: &&Listener| !one.observes() && passed_over != Some(one.owner());
        for listener in listeners.iter().filter(told) {
            let Some(seat) = self.seats.get_mut(listener.seat()) else {
                continue;
            };
            desk.open(seat.owner, moment);
            let (ruling, back) = seat.judge.notice(kind, moment, desk);
            desk = back;
            desk.close();
            let who = (seat.owner, seat.name.clone());
            self.shared.tell_lapse(who, moment, Some(kind), &ruling);
        }
        desk
    }

    /// Lets the judge of this number act, outside of any event.
    pub fn attend(&mut self, judge: usize, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let moment = self.moment(&desk);
        let Some(seat) = self.seat_of(judge) else {
            return (Ruling::CONTINUE, desk);
        };
        desk.open(judge, moment);
        let (ruling, mut desk) = seat.judge.attend(desk);
        desk.close();
        let who = (judge, seat.name.clone());
        self.shared
            .tell_lapse(who, moment, Some(EventKind::Pause), &ruling);
        (ruling, desk)
    }

    /// Takes what the ledger holds now.
    fn refresh(&mut self) {
        let (generation, holdings) = self.shared.ledger.snapshot();
        for (&kind, listeners) in EventKind::ALL.iter().zip(&mut self.by_kind) {
            let mut before = std::mem::take(listeners);
            for (at, seat) in self.seats.iter().enumerate() {
                let Some(holdings) = holdings.get(seat.owner) else {
                    continue;
                };
                let place = (at, seat.owner);
                listeners.extend(Listener::of(
                    place,
                    holdings,
                    (kind, self.vcpu),
                    &mut before,
                ));
            }
        }
        self.generation = generation;
    }
}

/// The next of these listeners whose business the event is, with its own name for what was hit.
#[inline]
fn accepting<'a>(
    listeners: &mut impl Iterator<Item = &'a mut Listener>,
    event: &Event,
    desk: &Desk,
) -> Option<(&'a Listener, u64)> {
    listeners.find_map(|listener| {
        let tag = listener.accepts(event, desk)?;
        Some((&*listener, tag))
    })
}

impl std::fmt::Debug for Panel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Panel({} judges, {} events)",
            self.seats.len(),
            self.seq
        )
    }
}

impl Shared {
    /// Tells of a judge that failed where no verdict was asked for.
    pub(crate) fn tell_lapse(
        &self,
        (owner, judge): (usize, Arc<str>),
        moment: Moment,
        kind: Option<EventKind>,
        ruling: &Ruling,
    ) {
        if let Some(lapse) = ruling.failure() {
            self.posts.lapsed(owner, &lapse.reason);
            self.tell(|| Record::Failure(Failed::untold(judge, moment, kind, lapse.clone())));
        }
    }
}
