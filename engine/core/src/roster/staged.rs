//! A revision before it judges: its owner's number, and an instance for each place that it will
//! have. Nothing of it is seen by a vCPU, and dropping it takes everything back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use oriel_policy::{Place, Saved, Slot};
use oriel_protocol::Moment;

use super::RosterError;
use crate::{
    absent::Absent,
    desk::Desk,
    engine::{Candidate, declared, reported},
    journal,
    judge::{Bench, Judge},
    owners::Caller,
    panel::{Role, Seat},
    policies::Hosted,
    record::CLOCK,
    shared::Shared,
};

/// A revision before it judges.
pub(super) struct Staged {
    pub(super) candidate: Arc<Candidate>,
    pub(super) hosted: Arc<Hosted>,
    pub(super) owner: usize,
    pub(super) number: u64,
    shared: Arc<Shared>,
    /// It judges, and what it has armed stays.
    kept: AtomicBool,
}

/// What a revision is to be.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    number: u64,
    /// The owner's number of the first revision; none: it is the first.
    first: Option<usize>,
    on_trial: bool,
}

impl Stage {
    /// A revision of this number, of the policy that began with this owner.
    pub(super) const fn revision(number: u64, first: Option<usize>) -> Self {
        Self {
            number,
            first,
            on_trial: false,
        }
    }

    /// One in the shadow.
    pub(super) const fn trial(number: u64) -> Self {
        Self {
            number,
            first: None,
            on_trial: true,
        }
    }
}

/// Where a revision is called that has no vCPU: a desk with a mailbox of its own.
pub(super) struct Office {
    pub(super) shared: Arc<Shared>,
    slot: Arc<Slot>,
    mailbox: u32,
    desk: Option<Box<Desk>>,
}

impl Office {
    pub(super) fn open(shared: &Arc<Shared>, hosted: &Hosted) -> Self {
        let slot = hosted.host.slot();
        let mailbox = shared.mailboxes.add();
        let desk = Desk::new(Box::new(Absent { index: mailbox }), shared.clone());
        Self {
            shared: shared.clone(),
            slot,
            mailbox,
            desk: Some(desk),
        }
    }

    /// Where its thread says that it is inside a policy.
    pub(super) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// Lends the desk to what is called for this owner.
    pub(super) fn lend<T>(
        &mut self,
        owner: usize,
        call: impl FnOnce(Box<Desk>, &Arc<Slot>) -> (T, Box<Desk>),
    ) -> T {
        let mut desk = self
            .desk
            .take()
            .expect("whoever is lent a desk gives it back");
        desk.open(
            owner,
            Moment {
                vcpu: CLOCK,
                seq: 0,
                time_ns: self.shared.now(),
            },
        );
        let (answer, mut desk) = call(desk, &self.slot);
        desk.close();
        self.desk = Some(desk);
        answer
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        if let Some(desk) = &self.desk {
            desk.shut();
        }
        self.shared.mailboxes.free_up(self.mailbox);
    }
}

impl Staged {
    /// Gives it a number at the gate, and makes its instances, whose `init` is called.
    pub(super) fn new(
        office: &mut Office,
        candidate: Arc<Candidate>,
        stage: Stage,
    ) -> Result<Self, RosterError> {
        let hosted = hosted(&candidate)?;
        let shared = office.shared.clone();
        hosted.note_in(shared.journal.as_ref());
        let owner = shared.ledger.add();
        let caller = Caller {
            first: stage.first.unwrap_or(owner),
            revision: stage.number,
            on_trial: stage.on_trial,
            ..Caller::of(&candidate, owner)
        };
        shared.owners.add(caller);
        let places = hosted.places(shared.vcpus);
        let staged = Self {
            candidate,
            hosted,
            owner,
            number: stage.number,
            shared,
            kept: AtomicBool::new(false),
        };
        for place in places {
            staged.furnish(place, office)?;
        }
        Ok(staged)
    }

    /// Makes an instance and keeps it.
    fn furnish(&self, place: Place, office: &mut Office) -> Result<(), RosterError> {
        let policy = self.hosted.policy.clone();
        let journal = self.shared.journal.as_ref();
        let made = office.lend(self.owner, |desk, slot| {
            if let Some(journal) = journal {
                return journal::instantiate(journal, (&policy, place), slot, desk);
            }
            let (made, lent) = policy.instantiate(place, slot, desk);
            (made, Desk::back(lent))
        });
        let instance = made.map_err(|failure| RosterError::Stage {
            place: named(place),
            source: Box::new(failure),
        })?;
        self.hosted.keep(instance);
        Ok(())
    }

    /// Tries whether a state is taken, by an instance that is thrown away.
    pub(super) fn rehearse(
        &self,
        place: Place,
        (saved, by): (Saved, u64),
        office: &mut Office,
    ) -> Result<(), RosterError> {
        let hosted = self.hosted.clone();
        let taken = office.lend(self.owner, |desk, slot| {
            // Counted apart: those that will judge have used up what it may have.
            let apart = hosted.policy.apart();
            let (made, lent) = apart.instantiate(place, slot, desk);
            let mut instance = match made {
                Ok(instance) => instance,
                Err(failure) => return (Err(failure), Desk::back(lent)),
            };
            let (taken, lent) = instance.restore(saved, by, slot, lent);
            hosted.host.retire(instance);
            (taken, Desk::back(lent))
        });
        taken.map_err(|failure| RosterError::State {
            place: named(place),
            reason: failure.to_string(),
        })
    }

    /// Its judge on a vCPU, or of the clock.
    pub(super) fn judge(&self, bench: Bench, slot: &Arc<Slot>) -> Box<dyn Judge> {
        (self.candidate.make)(bench, slot)
    }

    /// Its seat on a vCPU.
    pub(super) fn seat(&self, vcpu: u32, slot: &Arc<Slot>, role: Role) -> Seat {
        Seat {
            owner: self.owner,
            name: self.candidate.name.clone(),
            revision: self.number,
            judge: self.judge(Bench::Vcpu(vcpu), slot),
            role,
        }
    }

    /// Arms what it declares.
    pub(super) fn arm(&self) -> Result<(), RosterError> {
        let shared = &self.shared;
        let declared = declared(&self.candidate, reported(&*shared.machine));
        Ok(shared.ledger.declare(self.owner, &declared)?)
    }

    /// It judges from now on.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            self.shared.ledger.close(self.owner);
        }
    }
}

/// What a candidate lives in.
///
/// # Errors
/// [`RosterError::NoPolicy`].
pub(super) fn hosted(candidate: &Candidate) -> Result<Arc<Hosted>, RosterError> {
    let hosted = candidate.hosted.clone();
    hosted.ok_or_else(|| RosterError::NoPolicy(candidate.name.to_string()))
}

/// A place in words.
pub(super) fn named(place: Place) -> String {
    match place {
        Place::Vcpu(vcpu) => format!("vCPU {vcpu}"),
        Place::Vm => "the VM".to_owned(),
        Place::Tick => "the clock".to_owned(),
        Place::Probe => "the probe".to_owned(),
    }
}
