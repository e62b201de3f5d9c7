//! Policies: from the bytes of a component to a judge.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, bail};
use oriel_engine::{Candidate, policies};
use oriel_machine::Machine;
use oriel_policy::{Host, Inspection, Plugin, Policy, Store, Terms};
use oriel_protocol::{EventKind, EventSet, Only, Ranges, Right};

use crate::{grants::GrantPlan, plan::PolicyPlan};

/// Loads a policy and makes it a judge of this machine.
pub(crate) fn judge(
    host: &Arc<Host>,
    plan: &PolicyPlan,
    code: &[u8],
    machine: &dyn Machine,
) -> anyhow::Result<Candidate> {
    loaded(host, plan, &plugin(host, plan, code)?, machine)
}

/// Compiles the code of a policy.
pub(crate) fn plugin(host: &Host, plan: &PolicyPlan, code: &[u8]) -> anyhow::Result<Arc<Plugin>> {
    let plugin = host
        .load(&plan.name, code)
        .with_context(|| plan.file.display().to_string());
    plugin.with_context(|| format!("policy {:?} cannot be loaded", plan.name))
}

/// Makes a plugin a judge of this machine.
pub(crate) fn loaded(
    host: &Arc<Host>,
    plan: &PolicyPlan,
    plugin: &Arc<Plugin>,
    machine: &dyn Machine,
) -> anyhow::Result<Candidate> {
    let policy = policy(host, plan, plugin, machine)
        .with_context(|| format!("policy {:?} cannot be loaded", plan.name))?;
    warn_of_vain_pauses(&policy);
    let mut candidate = policies::candidate(host, &Arc::new(policy), Arc::new(Store::default()));
    leave_out_unreported(&mut candidate, machine);
    warn_of_deaf_filters(&candidate);
    Ok(candidate)
}

/// A guard that believes to hear of an MSR and does not is worse than none.
fn warn_of_deaf_filters(candidate: &Candidate) {
    let bounds = candidate.grant.bounds.as_deref();
    let Some(msrs) = bounds.and_then(|bounds| bounds.msrs.as_ref()) else {
        return;
    };
    let of_msrs = [EventKind::Msr, EventKind::MsrRead];
    let kinds = candidate.filters.iter();
    for filter in kinds.filter(|filter| of_msrs.contains(&filter.kind)) {
        if let Only::Numbers { first, last } = filter.only
            && !msrs.covers(first, last.saturating_sub(first).saturating_add(1))
        {
            let wanted = Ranges::from_iter([first..=last]);
            let wanted: Vec<_> = wanted.words().collect();
            tracing::warn!(policy = %candidate.name, msrs = wanted.join(", "), "it asks for MSRs that it is not granted, and does not hear of them");
        }
    }
}

/// A policy that would pause a vCPU when it fails, though the operator does not allow that.
fn warn_of_vain_pauses(policy: &Policy) {
    let vain = policy.vain_pauses();
    if !vain.is_empty() {
        let kinds: Vec<_> = vain.iter().map(|kind| kind.name()).collect();
        let (policy, kinds) = (policy.name(), kinds.join(", "));
        tracing::warn!(
            policy,
            kinds,
            "where it fails it would pause the vCPU, which is not allowed: `closed` answers; \
             `allow-pause = true` in its `[[policy]]` allows it"
        );
    }
}

/// A policy that only observes goes without what the machine cannot report, with a warning.
fn leave_out_unreported(candidate: &mut Candidate, machine: &dyn Machine) {
    let (kept, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut candidate.observations)
        .into_iter()
        .partition(|seen| machine.capabilities().reports(seen.kind));
    candidate.observations = kept;
    if !missing.is_empty() {
        let kinds: Vec<_> = missing.iter().map(|seen| seen.kind.name()).collect();
        tracing::warn!(policy = %candidate.name, kinds = kinds.join(", "), "it observes what this machine cannot report");
    }
}

/// Makes a policy of this plugin, on the terms of its plan.
fn policy(
    host: &Host,
    plan: &PolicyPlan,
    plugin: &Arc<Plugin>,
    machine: &dyn Machine,
) -> anyhow::Result<Policy> {
    let inspection = plugin.inspection();
    let terms = Terms {
        events: reported(plan, inspection, machine)?,
        config: plan.config.clone(),
        limits: plan.conditions.limits,
        on_failure: plan.conditions.on_failure.clone(),
        pause: plan.conditions.pause,
        ..granted(plan, inspection)
    };
    Ok(host.prepare(plugin, terms)?)
}

/// What the operator grants this policy, whatever the machine.
pub(crate) fn granted(plan: &PolicyPlan, inspection: &Inspection) -> Terms {
    let grant = plan.grant.as_ref();
    let bounds = grant.map(|grant| &grant.bounds);
    Terms {
        name: plan.name.clone(),
        rights: rights(grant),
        events: events(grant, inspection),
        bounds: bounds
            .filter(|bounds| !bounds.is_open())
            .cloned()
            .map(Arc::new),
        ..Terms::default()
    }
}

fn rights(grant: Option<&GrantPlan>) -> BTreeSet<Right> {
    grant
        .map_or(Right::DEFAULT, |grant| &grant.rights)
        .iter()
        .copied()
        .collect()
}

/// The kinds of event that the policy may hear: those that are named, or all that it exports.
fn events(grant: Option<&GrantPlan>, inspection: &Inspection) -> EventSet {
    // What it observes is known only once it has been asked, and may be anything.
    let observes = inspection
        .exports
        .iter()
        .any(|interface| interface == "observe");
    let exported = if observes {
        EventSet::all()
    } else {
        inspection.hears
    };
    grant.and_then(|grant| grant.events).unwrap_or(exported)
}

/// Those of them that it will hear on this machine. What the operator names, the machine must be able
/// to report; what a policy merely listens to by default may be missing, with a warning.
fn reported(
    plan: &PolicyPlan,
    inspection: &Inspection,
    machine: &dyn Machine,
) -> anyhow::Result<EventSet> {
    let capabilities = machine.capabilities();
    let named = plan.grant.as_ref().and_then(|grant| grant.events);
    let mut events = events(plan.grant.as_ref(), inspection);
    for kind in named
        .unwrap_or(inspection.hears)
        .iter()
        .filter(|&kind| !capabilities.reports(kind))
    {
        let reason = capabilities
            .get(kind.name())
            .map_or("it is unknown here", |known| &known.reason);
        if named.is_some() {
            bail!(
                "{} is granted, but this machine cannot report it: {reason}",
                kind.name()
            );
        }
        tracing::warn!(
            policy = plan.name,
            event = kind.name(),
            reason,
            "this machine cannot report it"
        );
        events.remove(kind);
    }
    Ok(events)
}
