//! Policies as judges of a VM.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use oriel_policy::{Host, Instance, InstanceMode, Place, Policy, Slot, Spent, Store};
use oriel_protocol::{CommandSet, EventSet, Filter, Grant, Right, events::EventClass};

use crate::{
    engine::{Candidate, MakeJudge},
    journal::Journal,
    judge::Bench,
    policy_judge::{Conduct, Home, PolicyJudge, Turn},
};

/// A revision of a policy that lives in a host, as all its judges share it.
pub struct Hosted {
    pub(crate) host: Arc<Host>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) conduct: Arc<Conduct>,
    /// The one instance, where all vCPUs share it.
    turn: Arc<Turn>,
    /// Instances that were made before somebody needs them.
    spares: Mutex<BTreeMap<Place, Instance>>,
    /// Where the calls of its instances are written down; none: nowhere.
    journal: OnceLock<Arc<Journal>>,
}

impl Hosted {
    fn new(host: &Arc<Host>, policy: &Arc<Policy>) -> Arc<Self> {
        Arc::new(Self {
            host: host.clone(),
            // What it may use by the second is counted for this revision alone.
            policy: Arc::new(policy.apart()),
            conduct: Arc::default(),
            turn: Arc::default(),
            spares: Mutex::default(),
            journal: OnceLock::new(),
        })
    }

    /// What its events have used up so far; nothing unless its host counts it.
    pub fn spent(&self) -> Spent {
        self.policy.spent()
    }

    /// From now on the calls of its instances are written down, if there is a journal.
    pub(crate) fn note_in(&self, journal: Option<&Arc<Journal>>) {
        if let Some(journal) = journal {
            // One that is noted already is noted there.
            let _ = self.journal.set(journal.clone());
        }
    }

    /// Keeps an instance for whoever sits in its place.
    pub(crate) fn keep(&self, instance: Instance) {
        self.spares().insert(instance.place(), instance);
    }

    /// Where the instance lives that judges on this vCPU.
    pub(crate) fn place(&self, vcpu: u32) -> Place {
        match self.policy.instances() {
            InstanceMode::Vcpu => Place::Vcpu(vcpu),
            InstanceMode::Vm => Place::Vm,
        }
    }

    /// The places that instances of it have, on a VM with so many vCPUs.
    pub(crate) fn places(&self, vcpus: u32) -> Vec<Place> {
        let mut places: Vec<_> = match self.policy.instances() {
            InstanceMode::Vcpu => (0..vcpus).map(Place::Vcpu).collect(),
            InstanceMode::Vm => vec![Place::Vm],
        };
        places.extend(self.policy.tick().map(|_| Place::Tick));
        places
    }

    /// Its judge on a vCPU, or of the clock.
    fn judge(&self, bench: Bench, slot: &Arc<Slot>) -> PolicyJudge {
        let (mut home, place) = match (bench, self.policy.instances()) {
            (Bench::Clock, _) => (Home::clock(), Place::Tick),
            (Bench::Vcpu(vcpu), InstanceMode::Vcpu) => (Home::vcpu(), Place::Vcpu(vcpu)),
            (Bench::Vcpu(_), InstanceMode::Vm) => (Home::vm(self.turn.clone()), Place::Vm),
        };
        if let Some(spare) = self.spares().remove(&place) {
            home.move_in(spare);
        }
        let (host, policy) = (self.host.clone(), self.policy.clone());
        PolicyJudge::new(host, policy, slot.clone(), home, self.conduct.clone())
            .noted_in(self.journal.get())
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, Instance>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Instances go to the reaper: unmapping their memory is not for every thread.
impl Drop for Hosted {
    fn drop(&mut self) {
        let spares = std::mem::take(&mut *self.spares());
        let shared = self.turn.vacate();
        let all = spares.into_values().chain(shared);
        all.for_each(|instance| self.host.retire(instance));
    }
}

impl std::fmt::Debug for Hosted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Hosted({:?})", self.policy)
    }
}

/// A policy as a judge, with what the operator grants it.
pub fn candidate(host: &Arc<Host>, policy: &Arc<Policy>, store: Arc<Store>) -> Candidate {
    store.bound(policy.limits().store_keys, policy.limits().store_bytes);
    let hosted = Hosted::new(host, policy);
    Candidate {
        name: Arc::from(policy.name()),
        grant: Grant {
            bounds: policy.effective().bounds.clone(),
            ..grant(policy.rights(), heard(policy))
        },
        judges: policy.hears(),
        filters: filters(policy),
        observations: policy.observations().to_vec(),
        store,
        tick: policy.tick(),
        tool: None,
        make: maker(&hosted),
        hosted: Some(hosted),
    }
}

/// Makes the judges of a revision.
fn maker(hosted: &Arc<Hosted>) -> MakeJudge {
    let hosted = hosted.clone();
    Box::new(move |bench, slot| Box::new(hosted.judge(bench, slot)))
}

impl Candidate {
    /// The same policy on the same terms, as a revision that shares no instance with this one.
    pub(crate) fn again(&self) -> Option<Self> {
        let before = self.hosted.as_ref()?;
        let hosted = Hosted::new(&before.host, &before.policy);
        Some(Self {
            name: self.name.clone(),
            grant: self.grant.clone(),
            judges: self.judges,
            filters: self.filters.clone(),
            observations: self.observations.clone(),
            store: self.store.clone(),
            tick: self.tick,
            tool: None,
            make: maker(&hosted),
            hosted: Some(hosted),
        })
    }
}

/// What it judges, and the notices that it is told of, all of them.
fn filters(policy: &Policy) -> Vec<Filter> {
    let told = policy
        .hears()
        .iter()
        .filter(|kind| kind.class() == EventClass::Notice);
    policy
        .filters()
        .iter()
        .copied()
        .chain(told.map(Filter::any))
        .collect()
}

/// What it judges, is told of, and observes.
fn heard(policy: &Policy) -> EventSet {
    policy
        .observations()
        .iter()
        .map(|seen| seen.kind)
        .collect::<EventSet>()
        .union(policy.hears())
}

/// The commands of these rights.
pub(crate) fn commands(rights: &BTreeSet<Right>) -> CommandSet {
    let commands = rights.iter().map(|right| right.commands());
    commands.fold(CommandSet::NONE, CommandSet::union)
}

/// The commands of these rights, and these events.
pub fn grant(rights: &BTreeSet<Right>, events: EventSet) -> Grant {
    Grant {
        commands: commands(rights),
        events,
        bounds: None,
    }
}
