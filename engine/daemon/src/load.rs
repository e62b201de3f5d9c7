//! Policies: from the bytes of a component to a judge.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context, bail};
use oriel_engine::{Candidate, policies};
use oriel_machine::Machine;
use oriel_policy::{Host, Inspection, Limits, Policy, Store, Terms};
use oriel_protocol::{EventSet, Right};

use crate::plan::{GrantPlan, PolicyPlan};

/// Loads a policy and makes it a judge of this machine.
pub(crate) fn judge(
    host: &Arc<Host>,
    plan: &PolicyPlan,
    code: &[u8],
    machine: &dyn Machine,
) -> anyhow::Result<Candidate> {
    let policy = policy(host, plan, code, machine)
        .with_context(|| format!("policy {:?} cannot be loaded", plan.name))?;
    let mut candidate = policies::candidate(host, &Arc::new(policy), Arc::new(Store::default()));
    leave_out_unreported(&mut candidate, machine);
    Ok(candidate)
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

/// Makes a policy of this code, on the terms of its plan.
fn policy(
    host: &Host,
    plan: &PolicyPlan,
    code: &[u8],
    machine: &dyn Machine,
) -> anyhow::Result<Policy> {
    let plugin = host
        .load(&plan.name, code)
        .with_context(|| plan.file.display().to_string())?;
    let inspection = plugin.inspection();
    let terms = Terms {
        name: plan.name.clone(),
        rights: rights(plan.grant.as_ref()),
        events: events(plan, inspection, machine)?,
        config: plan.config.clone(),
        limits: Limits::default(),
    };
    Ok(host.prepare(&plugin, terms)?)
}

fn rights(grant: Option<&GrantPlan>) -> BTreeSet<Right> {
    grant
        .map_or(Right::DEFAULT, |grant| &grant.rights)
        .iter()
        .copied()
        .collect()
}

/// The kinds of event that the policy may hear. What the operator names, the machine must be able
/// to report; what a policy merely listens to by default may be missing, with a warning.
fn events(
    plan: &PolicyPlan,
    inspection: &Inspection,
    machine: &dyn Machine,
) -> anyhow::Result<EventSet> {
    let capabilities = machine.capabilities();
    let named = plan.grant.as_ref().and_then(|grant| grant.events);
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
    let mut events = named.unwrap_or(exported);
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
