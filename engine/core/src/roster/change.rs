//! A change of revision, step by step. Each step that fails takes back those before it.

use std::sync::Arc;

use oriel_policy::{InstanceMode, SwapMode};

use super::{
    Canary, RosterError, Share, SwapOptions, canary,
    clock::{self, Whereabouts},
    handover::{Given, Handover, Moved, Notes, ask, ended, move_back, move_vcpus},
    shadow,
    staged::{Office, Stage, Staged, hosted, named},
};
use crate::{engine::Candidate, handle::VmHandle, panel::Trial, shared::Shared};

/// What is to be changed.
pub(super) struct Change {
    pub(super) candidate: Arc<Candidate>,
    /// The number that the new revision has.
    pub(super) number: u64,
    pub(super) from: From,
    /// The state that the new one gets; none: that of the old one.
    pub(super) given: Option<Given>,
    pub(super) how: SwapOptions,
    /// Who is told of failures of the new one, from its first event on.
    pub(super) trial: Option<Arc<Trial>>,
}

/// The revision that is left.
#[derive(Clone)]
pub(super) struct From {
    pub(super) owner: usize,
    pub(super) first: usize,
    pub(super) number: u64,
    pub(super) candidate: Arc<Candidate>,
    pub(super) clock: Arc<Whereabouts>,
}

/// A change that was made.
pub(super) struct Made {
    pub(super) owner: usize,
    pub(super) notes: Notes,
    pub(super) shadow: Option<super::ShadowReport>,
    pub(super) canary: Option<super::CanaryReport>,
}

impl Change {
    /// Makes it. If it fails, the old revision judges as before.
    pub(super) fn make(self, shared: &Arc<Shared>) -> Result<Made, RosterError> {
        self.check(shared)?;
        let shadow = self.how.shadow;
        let shadow = shadow.map(|shadow| shadow::try_out(shared, &self, shadow));
        let shadow = shadow.transpose()?;
        let canary = canary::try_out(shared, &self)?;
        let mut office = Office::open(shared, &*hosted(&self.candidate)?);
        let stage = Stage::revision(self.number, Some(self.from.first));
        let staged = Staged::new(&mut office, self.candidate.clone(), stage)?;
        self.rehearse(&staged, &mut office)?;
        staged.arm()?;
        if let Some(trial) = &self.trial {
            shared.posts.watch(staged.owner, trial);
        }
        let handover = Arc::new(self.handover(staged));
        let moved = move_all(shared, &handover, &self.how, self.together())?;
        let from = &self.from;
        let old = (&*from.candidate, &*from.clock);
        if let Err(error) = clock::hand_over(&handover, &mut office, old) {
            move_back(shared, handover.to.owner, moved);
            return Err(error);
        }
        // Nobody is called by the old one any more: what it has armed goes last.
        shared.ledger.close(from.owner);
        drop(moved);
        handover.to.keep();
        let notes = std::mem::take(&mut *handover.notes());
        Ok(Made {
            owner: handover.to.owner,
            notes,
            shadow,
            canary,
        })
    }

    /// From the old one to this.
    pub(super) fn handover(&self, to: Staged) -> Handover {
        Handover {
            from: self.from.owner,
            from_number: self.from.number,
            to,
            given: self.given.clone(),
            on_refusal: self.how.state,
            alike: modes_of(&self.from.candidate) == modes_of(&self.candidate),
            notes: Default::default(),
        }
    }

    /// What can be said without trying.
    fn check(&self, shared: &Shared) -> Result<(), RosterError> {
        if let Some(over) = ended(shared) {
            return Err(over);
        }
        canary::check(self, shared)?;
        let (old, new) = (schema(&self.from.candidate), schema(&self.candidate));
        if old != new && !self.together() {
            return Err(RosterError::StoreSchema { old, new });
        }
        Ok(())
    }

    /// Whether all vCPUs are parked for it.
    fn together(&self) -> bool {
        self.wants_together().is_some() || self.has_one_instance()
    }

    /// Why no two vCPUs may be judged by different revisions, if somebody says so.
    pub(super) fn wants_together(&self) -> Option<&'static str> {
        let hosted = self.candidate.hosted.as_ref();
        let mode = hosted.map(|new| new.policy.manifest().swap);
        if self.how.together {
            Some("as is asked for")
        } else if mode == Some(SwapMode::Together) {
            Some("as its manifest says")
        } else {
            None
        }
    }

    /// Whether one of the two has one instance for all vCPUs.
    pub(super) fn has_one_instance(&self) -> bool {
        let both = [&self.from.candidate, &self.candidate];
        both.iter()
            .any(|one| modes_of(one) == Some(InstanceMode::Vm))
    }

    /// Tries the state that it will get, or one like it.
    pub(super) fn rehearse(&self, staged: &Staged, office: &mut Office) -> Result<(), RosterError> {
        if self.how.state == super::OnRefusal::Fresh {
            return Ok(());
        }
        if let Some(given) = &self.given {
            let mut first = given.saved.iter().take(1);
            return first.try_for_each(|(place, saved)| {
                staged.rehearse(*place, (saved.clone(), given.by), office)
            });
        }
        let (from, shared) = (self.from.owner, office.shared.clone());
        let shared = &*shared;
        let asked = ask(shared, 0, move |panel, mut desk| {
            let moment = panel.moment(&desk);
            let Some(seat) = panel.seat_of(from) else {
                return (Ok(None), desk);
            };
            desk.open(from, moment);
            let (saved, mut desk) = seat.judge.save(desk);
            desk.close();
            (saved, desk)
        });
        let saved = asked
            .wait(shared.settings.moving)
            .ok_or_else(|| ended(shared).unwrap_or(RosterError::Stuck(0)))?;
        let place = staged.hosted.place(0);
        match saved {
            Ok(None) => Ok(()),
            Ok(Some(saved)) => staged.rehearse(place, (saved, self.from.number), office),
            Err(reason) => Err(RosterError::State {
                place: named(place),
                reason,
            }),
        }
    }
}

fn modes_of(candidate: &Candidate) -> Option<InstanceMode> {
    let hosted = candidate.hosted.as_ref();
    hosted.map(|hosted| hosted.policy.instances())
}

pub(super) fn schema(candidate: &Candidate) -> u32 {
    let hosted = candidate.hosted.as_ref();
    hosted.map_or(0, |hosted| hosted.policy.manifest().store_schema.0)
}

/// Moves all vCPUs: some first, if there is a canary, and all at once if that is wanted.
fn move_all(
    shared: &Arc<Shared>,
    handover: &Arc<Handover>,
    how: &SwapOptions,
    together: bool,
) -> Result<Vec<Moved>, RosterError> {
    let all: Vec<u32> = (0..shared.vcpus).collect();
    if together {
        let parked = Parked::all(shared)?;
        let moved = move_vcpus(shared, handover, &all);
        drop(parked);
        return moved;
    }
    match &how.canary {
        Some(Canary {
            share: Share::Vcpus(some),
            lasts,
        }) => canary::move_some_first(shared, handover, (some, *lasts)),
        Some(_) | None => move_vcpus(shared, handover, &all),
    }
}

/// All vCPUs out of the guest, until this is dropped.
struct Parked {
    vm: VmHandle,
    vcpus: Vec<u32>,
}

impl Parked {
    fn all(shared: &Arc<Shared>) -> Result<Self, RosterError> {
        let vm = VmHandle {
            shared: shared.clone(),
        };
        let mut parked = Self {
            vm,
            vcpus: Vec::new(),
        };
        for vcpu in 0..shared.vcpus {
            // One that does not come out in time is paused all the same.
            parked.vcpus.push(vcpu);
            let paused = parked.vm.pause(vcpu, shared.settings.moving);
            paused.map_err(|_| ended(shared).unwrap_or(RosterError::Stuck(vcpu)))?;
        }
        Ok(parked)
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        for &vcpu in &self.vcpus {
            // One that has ended needs no resuming.
            let _ = self.vm.resume(vcpu);
        }
    }
}
