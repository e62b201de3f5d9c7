//! Policies as judges of a VM.

use std::{collections::BTreeSet, sync::Arc};

use oriel_policy::{Host, InstanceMode, Policy, Slot, Store};
use oriel_protocol::{CommandSet, EventSet, Filter, Grant, Right, events::EventClass};

use crate::{
    engine::Candidate,
    judge::{Bench, Judge},
    policy_judge::{Conduct, Home, PolicyJudge, Turn},
};

/// A policy as a judge, with what the operator grants it.
pub fn candidate(host: &Arc<Host>, policy: &Arc<Policy>, store: Arc<Store>) -> Candidate {
    let policy = &Arc::new(policy.apart());
    store.bound(policy.limits().store_keys, policy.limits().store_bytes);
    let (judging_host, judging) = (host.clone(), policy.clone());
    let conduct = Arc::new(Conduct::default());
    let turn = Arc::new(Turn::default());
    let make = move |place: Bench, slot: &Arc<Slot>| -> Box<dyn Judge> {
        let home = match (place, judging.instances()) {
            (Bench::Clock, _) => Home::clock(),
            (Bench::Vcpu(_), InstanceMode::Vcpu) => Home::vcpu(),
            (Bench::Vcpu(_), InstanceMode::Vm) => Home::vm(turn.clone()),
        };
        Box::new(PolicyJudge::new(
            judging_host.clone(),
            judging.clone(),
            slot.clone(),
            home,
            conduct.clone(),
        ))
    };
    Candidate {
        name: Arc::from(policy.name()),
        grant: grant(policy.rights(), heard(policy)),
        judges: policy.hears(),
        filters: filters(policy),
        observations: policy.observations().to_vec(),
        store,
        tick: policy.tick(),
        tool: None,
        make: Box::new(make),
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

/// The commands of these rights, and these events.
pub fn grant(rights: &BTreeSet<Right>, events: EventSet) -> Grant {
    let commands = rights
        .iter()
        .map(|right| right.commands())
        .fold(CommandSet::NONE, CommandSet::union);
    Grant { commands, events }
}
