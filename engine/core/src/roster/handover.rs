//! Moving a vCPU from one revision to the next: what its own thread does between two events, and
//! how those who wait for it learn of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use oriel_policy::{Place, Saved};

use super::{
    OnRefusal, RosterError,
    staged::{Staged, named},
    visit::{Visit, arrange, gather},
};
use crate::{
    desk::Desk,
    judge::Judge,
    mail::Mail,
    panel::{Panel, Role, Seat, Trial},
    shared::Shared,
};

/// One revision is to take the place of another.
pub(super) struct Handover {
    /// The owner's number of the revision that is left.
    pub(super) from: usize,
    /// Its own number.
    pub(super) from_number: u64,
    pub(super) to: Staged,
    /// What the new one gets; none: what the old one hands over.
    pub(super) given: Option<Given>,
    pub(super) on_refusal: OnRefusal,
    /// Both have an instance for each vCPU, or both have one for all.
    pub(super) alike: bool,
    /// What has come of it, for all places.
    pub(super) notes: Mutex<Notes>,
}

/// A state that was kept.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) saved: BTreeMap<Place, Saved>,
    /// The revision that has left it.
    pub(super) by: u64,
}

/// What has come of a handover.
#[derive(Default)]
pub(super) struct Notes {
    /// Places whose state has changed hands.
    done: BTreeSet<Place>,
    /// What the old revision has handed over.
    pub(super) saved: BTreeMap<Place, Saved>,
    /// Where the new one starts without.
    pub(super) fresh: BTreeSet<Place>,
    /// The longest that a vCPU was kept.
    pub(super) stall: Duration,
}

/// Of what a revision beside the old one hears, and where it is counted.
pub(super) struct Sharer<'a> {
    /// One event in so many.
    pub(super) one_in: u32,
    pub(super) trial: &'a Arc<Trial>,
}

/// The way back of a vCPU that has moved.
pub(super) struct Moved {
    pub(super) vcpu: u32,
    old: Seat,
}

impl Handover {
    /// Moves a vCPU, on its own thread.
    fn take_place(
        &self,
        panel: &mut Panel,
        vcpu: u32,
        desk: Box<Desk>,
    ) -> (Result<Moved, RosterError>, Box<Desk>) {
        let begun = Instant::now();
        let (seat, desk) = self.succeed(panel, vcpu, desk);
        let seat = match seat {
            Ok(seat) => seat,
            Err(error) => return (Err(error), desk),
        };
        let old = panel.replace(self.from, seat);
        let mut notes = self.notes();
        notes.stall = notes.stall.max(begun.elapsed());
        let moved = old.map(|old| Moved { vcpu, old });
        (moved.ok_or(RosterError::Stuck(vcpu)), desk)
    }

    /// Seats the new one beside the old one on a vCPU, on its own thread.
    pub(super) fn sit_beside(
        &self,
        (panel, vcpu): (&mut Panel, u32),
        Sharer { one_in, trial }: Sharer<'_>,
        desk: Box<Desk>,
    ) -> (Result<(), RosterError>, Box<Desk>) {
        let (seat, desk) = self.succeed(panel, vcpu, desk);
        let seated = seat.map(|seat| panel.share(self.from, seat, one_in, trial));
        (seated, desk)
    }

    /// A seat of the new one for this vCPU, which has the state of the old one there.
    fn succeed(
        &self,
        panel: &mut Panel,
        vcpu: u32,
        mut desk: Box<Desk>,
    ) -> (Result<Seat, RosterError>, Box<Desk>) {
        let slot = panel.slot().clone();
        let mut seat = self.to.seat(vcpu, &slot, Role::InForce);
        let moment = panel.moment(&desk);
        let Some(old) = panel.seat_of(self.from) else {
            return (Err(RosterError::Stuck(vcpu)), desk);
        };
        desk.open(self.from, moment);
        let judges = (&mut old.judge, &mut seat.judge);
        let (carried, desk) = self.carry(self.to.hosted.place(vcpu), judges, desk);
        (carried.map(|()| seat), desk)
    }

    /// Has a state change hands, once for each place.
    pub(super) fn carry(
        &self,
        place: Place,
        (old, new): (&mut Box<dyn Judge>, &mut Box<dyn Judge>),
        desk: Box<Desk>,
    ) -> (Result<(), RosterError>, Box<Desk>) {
        if !self.notes().done.insert(place) {
            return (Ok(()), desk);
        }
        let (saved, mut desk) = old.save(desk);
        desk.close();
        let (state, by) = match (&self.given, &saved) {
            (Some(given), _) => (Ok(given.saved.get(&place).cloned()), given.by),
            (None, Ok(saved)) => (Ok(saved.clone()), self.from_number),
            (None, Err(reason)) => (Err(reason.clone()), self.from_number),
        };
        if let Ok(Some(saved)) = saved {
            self.notes().saved.insert(place, saved);
        }
        let (taken, desk) = match state {
            Ok(None) => return (Ok(()), desk),
            Err(reason) => (Err(reason), desk),
            Ok(Some(_)) if !self.alike && place != Place::Tick => {
                let reason = "one has an instance for each vCPU, the other one for all";
                (Err(reason.to_owned()), desk)
            }
            Ok(Some(state)) => {
                let moment = desk.moment();
                desk.open(self.to.owner, moment);
                let (taken, mut desk) = new.restore(state, by, desk);
                desk.close();
                (taken, desk)
            }
        };
        (taken.or_else(|reason| self.refused(place, reason)), desk)
    }

    /// The new revision does not take a state, or the old one does not give it.
    fn refused(&self, place: Place, reason: String) -> Result<(), RosterError> {
        match self.on_refusal {
            OnRefusal::Fresh => {
                self.notes().fresh.insert(place);
                Ok(())
            }
            OnRefusal::Abort => Err(RosterError::State {
                place: named(place),
                reason,
            }),
        }
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change to it is one insertion or assignment.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves these vCPUs. If one of them cannot, those that have are moved back before this returns.
pub(super) fn move_vcpus(
    shared: &Arc<Shared>,
    handover: &Arc<Handover>,
    vcpus: &[u32],
) -> Result<Vec<Moved>, RosterError> {
    let visits = vcpus.iter().map(|&vcpu| {
        let handover = handover.clone();
        let act = move |panel: &mut Panel, desk| handover.take_place(panel, vcpu, desk);
        (vcpu, ask(shared, vcpu, act))
    });
    let moved = gather(visits.collect(), shared.settings.moving, RosterError::Stuck);
    moved.map_err(|(error, moved)| {
        move_back(shared, handover.to.owner, moved);
        ended(shared).unwrap_or(error)
    })
}

/// Moves vCPUs back to the revision that they have left, whose instances have been waiting.
pub(super) fn move_back(shared: &Arc<Shared>, owner: usize, moved: Vec<Moved>) {
    let visits = moved.into_iter().map(|Moved { vcpu, old }| {
        // What comes out is dropped by whoever waits, not on the vCPU's thread.
        ask(shared, vcpu, move |panel, desk| {
            (panel.replace(owner, old), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    for visit in visits {
        // However long it takes: what it leaves is disarmed next. One that has ended has nowhere to
        // go back to.
        let _ = visit.see_through();
    }
}

/// Has every vCPU do something between two events; answers what each has brought.
pub(super) fn ask_all<T: Send + 'static>(
    shared: &Shared,
    act: impl Fn(u32, &mut Panel, Box<Desk>) -> (T, Box<Desk>) + Clone + Send + 'static,
) -> Result<Vec<T>, RosterError> {
    ask_those(shared, 0..shared.vcpus, &act)
}

/// The same, one vCPU after the other: where one instance is for all of them, it has its state before a
/// second vCPU can hand it an event.
pub(super) fn ask_in_turn<T: Send + 'static>(
    shared: &Shared,
    act: impl Fn(u32, &mut Panel, Box<Desk>) -> (T, Box<Desk>) + Clone + Send + 'static,
) -> Result<Vec<T>, RosterError> {
    let mut all = Vec::new();
    for vcpu in 0..shared.vcpus {
        all.extend(ask_those(shared, vcpu..vcpu + 1, &act)?);
    }
    Ok(all)
}

fn ask_those<T: Send + 'static>(
    shared: &Shared,
    vcpus: Range<u32>,
    act: &(impl Fn(u32, &mut Panel, Box<Desk>) -> (T, Box<Desk>) + Clone + Send + 'static),
) -> Result<Vec<T>, RosterError> {
    let visits = vcpus.map(|vcpu| {
        let act = act.clone();
        let done = move |panel: &mut Panel, desk| {
            let (answer, desk) = act(vcpu, panel, desk);
            (Ok(answer), desk)
        };
        (vcpu, ask(shared, vcpu, done))
    });
    let all = gather(visits.collect(), shared.settings.moving, RosterError::Stuck);
    all.map_err(|(error, _)| ended(shared).unwrap_or(error))
}

/// Takes a judge away from every vCPU, however long it takes: what it has armed is undone next.
pub(super) fn take_away(shared: &Shared, owner: usize, beside: Option<usize>) {
    let visits = (0..shared.vcpus).map(|vcpu| {
        ask(shared, vcpu, move |panel, desk| {
            if let Some(force) = beside.and_then(|beside| panel.seat_of(beside)) {
                force.role = Role::InForce;
            }
            // What is taken away is dropped by whoever waits, not on the vCPU's thread.
            (panel.unseat(owner), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    for visit in visits {
        // On a vCPU that has ended nobody sits any more.
        drop(visit.see_through());
    }
}

/// Asks a vCPU's thread to do something between two events.
pub(super) fn ask<T: Send + 'static>(
    shared: &Shared,
    vcpu: u32,
    act: impl FnOnce(&mut Panel, Box<Desk>) -> (T, Box<Desk>) + Send + 'static,
) -> Visit<T> {
    let (visit, mut visitor) = arrange();
    let errand = Mail::Errand(Box::new(move |panel, desk| {
        if !visitor.begin() {
            return desk;
        }
        let (answer, desk) = act(panel, desk);
        visitor.done(answer);
        desk
    }));
    // If the vCPU has ended the errand is dropped, which is what is waited for.
    let _ = shared.post_to_vcpu(vcpu, errand);
    visit
}

/// Why nothing can be changed any more, if the VM has ended.
pub(super) fn ended(shared: &Shared) -> Option<RosterError> {
    shared.end.get().map(|_| RosterError::Ended)
}
