//! Moving a vCPU from one revision to the next: what its own thread does between two events, and
//! how those who wait for it learn of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use oriel_policy::{InstanceMode, Place, Saved};

use super::{OnRefusal, RosterError, staged::Staged, staged::named};
use crate::{
    desk::Desk,
    judge::{Bench, Judge},
    mail::Mail,
    panel::{Panel, Role, Seat},
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

/// The way back of a vCPU that has moved.
pub(super) struct Moved {
    pub(super) vcpu: u32,
    old: Seat,
}

/// An errand that may be called off before it has begun.
#[derive(Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whoever claims it first has it.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

impl Handover {
    /// The place of an instance that judges on a vCPU.
    fn place(&self, vcpu: u32) -> Place {
        match self.to.hosted.policy.instances() {
            InstanceMode::Vcpu => Place::Vcpu(vcpu),
            InstanceMode::Vm => Place::Vm,
        }
    }

    /// Moves a vCPU, on its own thread.
    fn take_place(
        &self,
        panel: &mut Panel,
        vcpu: u32,
        desk: Box<Desk>,
    ) -> (Result<Moved, RosterError>, Box<Desk>) {
        let begun = Instant::now();
        let slot = panel.slot().clone();
        let mut seat = Seat {
            owner: self.to.owner,
            name: self.to.candidate.name.clone(),
            revision: self.to.number,
            judge: self.to.judge(Bench::Vcpu(vcpu), &slot),
            role: Role::InForce,
        };
        let moment = panel.moment(&desk);
        let Some(old) = panel.seat_of(self.from) else {
            return (Err(RosterError::Stuck(vcpu)), desk);
        };
        let mut desk = desk;
        desk.open(self.from, moment);
        let judges = (&mut old.judge, &mut seat.judge);
        let (carried, desk) = self.carry(self.place(vcpu), judges, desk);
        if let Err(error) = carried {
            return (Err(error), desk);
        }
        let old = panel.replace(self.from, seat);
        let mut notes = self.notes();
        notes.stall = notes.stall.max(begun.elapsed());
        (
            old.map(|old| Moved { vcpu, old })
                .ok_or(RosterError::Stuck(vcpu)),
            desk,
        )
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
        let visit = visit(shared, vcpu, move |panel, desk| {
            handover.take_place(panel, vcpu, desk)
        });
        (vcpu, visit)
    });
    let visits: Vec<_> = visits.collect();
    let mut moved = Vec::new();
    let mut trouble = None;
    for (vcpu, visit) in visits {
        match visit.wait(shared).unwrap_or(Err(RosterError::Stuck(vcpu))) {
            Ok(one) => moved.push(one),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    match trouble {
        None => Ok(moved),
        Some(error) => {
            move_back(shared, handover.to.owner, moved);
            Err(ended(shared).unwrap_or(error))
        }
    }
}

/// Moves vCPUs back to the revision that they have left, whose instances have been waiting.
pub(super) fn move_back(shared: &Arc<Shared>, owner: usize, moved: Vec<Moved>) {
    let visits = moved.into_iter().map(|Moved { vcpu, old }| {
        visit(shared, vcpu, move |panel, desk| {
            // What comes out is dropped by whoever waits, not on the vCPU's thread.
            (panel.replace(owner, old), desk)
        })
    });
    let visits: Vec<_> = visits.collect();
    for visit in visits {
        // A vCPU that has ended has nowhere to go back to.
        let _ = visit.wait(shared);
    }
}

/// Something that a vCPU's thread was asked to do between two events.
pub(super) struct Visit<T> {
    claim: Claim,
    answer: mpsc::Receiver<T>,
}

/// Asks a vCPU's thread to do something between two events.
pub(super) fn visit<T: Send + 'static>(
    shared: &Shared,
    vcpu: u32,
    act: impl FnOnce(&mut Panel, Box<Desk>) -> (T, Box<Desk>) + Send + 'static,
) -> Visit<T> {
    let (send, answer) = mpsc::sync_channel(1);
    let claim = Claim::default();
    let theirs = claim.clone();
    let errand = Mail::Errand(Box::new(move |panel, desk| {
        if !theirs.take() {
            return desk;
        }
        let (answer, desk) = act(panel, desk);
        // Whoever asked may have gone with the VM.
        let _ = send.send(answer);
        desk
    }));
    // If the vCPU has ended the errand is dropped, which is what is waited for.
    let _ = shared.post_to_vcpu(vcpu, errand);
    Visit { claim, answer }
}

impl<T> Visit<T> {
    /// Waits for it to be done; none if the vCPU has ended, or does not come to it in time and will
    /// not any more.
    pub(super) fn wait(self, shared: &Shared) -> Option<T> {
        match self.answer.recv_timeout(shared.settings.moving) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) if self.claim.take() => None,
            // It has begun: what it does has bounds of its own.
            Err(RecvTimeoutError::Timeout) => self.answer.recv().ok(),
        }
    }
}

/// Why nothing can be changed any more, if the VM has ended.
pub(super) fn ended(shared: &Shared) -> Option<RosterError> {
    shared.end.get().map(|_| RosterError::Ended)
}
