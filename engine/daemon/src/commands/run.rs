//! `oriel run`

use std::sync::Arc;

use anyhow::Context;
use oriel_engine::{Audit, Engine, Journal, Outcome, Settings, Sink, VmHandle, tool};
use oriel_machine::{Machine, Parts};
use oriel_policy::Host;
use oriel_protocol::Identity;

use crate::{
    args::RunArgs,
    audit,
    exit::Exit,
    guest, load,
    operation::Opening,
    output::{LineWriter, Tee, Words},
    plan::{Judges, Plan, PolicyPlan},
    record,
    serial::Serial,
    signals::StopsOnSignal,
    steward::Member,
    tools::Tools,
};

/// Runs a guest under policies until it ends.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<Exit> {
    let plan = Plan::resolve(args)?;
    let identity = guest::identity(&plan)?;
    let (outcome, signal) = under(&plan, &identity, |serial| {
        guest::build(&plan, identity.clone(), serial)
    })?;
    Ok(signal.map_or_else(|| Exit::of(&outcome.end), Exit::Signal))
}

/// Watches the machine that `build` makes, and writes down what the plan says; answers how it ended,
/// and which signal ended it.
pub(crate) fn under(
    plan: &Plan,
    identity: &Identity,
    build: impl FnOnce(Arc<Serial>) -> anyhow::Result<Parts>,
) -> anyhow::Result<(Outcome, Option<u8>)> {
    let lines = plan
        .events
        .as_deref()
        .map(|place| LineWriter::open(place, identity.clone()))
        .transpose()?
        .map(Arc::new);
    let mut sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(Words)];
    sinks.extend(lines.clone().map(|lines| -> Arc<dyn Sink> { lines }));
    let sink: Arc<dyn Sink> = Arc::new(Tee(sinks));
    let serial = Serial::open(&plan.serial, Some(sink.clone()))?;
    let audit = plan.audit.as_ref();
    let audit = audit.map(|audit| audit.start(identity)).transpose()?;
    let parts = build(serial.clone())?;
    let record = plan.record.as_ref();
    let journal = record.map(|record| record.start(identity, parts.vcpus.len()));
    let journal = journal.transpose()?;
    let sink = Arc::new(Tee(vec![serial, sink]));
    let trails = (audit.clone(), journal.clone());
    let ended = watch(parts, plan, sink, trails);
    if let Some(audit) = audit {
        audit::finish(&audit, &last_words(&ended));
    }
    if let Some(journal) = journal {
        record::finish(&journal, &last_words(&ended));
    }
    if let Some(lines) = lines {
        lines.finish();
    }
    ended
}

/// How the VM ended, for the audit trail and the journal.
fn last_words(ended: &anyhow::Result<(Outcome, Option<u8>)>) -> String {
    match ended {
        Ok((outcome, _)) => outcome.end.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

/// Runs a machine under the judges of this plan; answers how it ended, and which signal ended it.
pub(crate) fn watch(
    parts: Parts,
    plan: &Plan,
    sink: Arc<dyn Sink>,
    (audit, journal): (Option<Arc<Audit>>, Option<Arc<Journal>>),
) -> anyhow::Result<(Outcome, Option<u8>)> {
    let judges = &plan.judges;
    let host =
        Arc::new(Host::new(judges.room.host()).context("the host of policies cannot be set up")?);
    let (machine, vcpus) = (parts.machine.clone(), parts.vcpus.len());
    let opening = Opening::prepare(plan, &machine.identity().name)?;
    let held = !judges.tools.is_empty() && !judges.tool_wait.is_zero();
    let settings = Settings {
        held,
        round: judges.room.round,
        ..Settings::default()
    };
    let engine = Engine::new(host.clone(), parts)
        .sink(sink)
        .settings(settings);
    let engine = match audit {
        Some(audit) => engine.audit(audit),
        None => engine,
    };
    let engine = match journal {
        Some(journal) => engine.record(journal),
        None => engine,
    };
    let engine = seat(engine, &host, &*machine, (&opening, judges))?;
    let running = engine.start().context("the VM was not started")?;
    let vm = running.handle();
    let signals = StopsOnSignal::install(vm.clone())?;
    let operation = opening.take_over(&host, &machine, &vm)?;
    let tools = Tools::connect(&judges.tools, &vm, &*machine)?;
    if held {
        tools.wait(judges.tool_wait);
        release(&vm, vcpus);
    }
    let outcome = running.wait();
    drop(tools);
    drop(operation);
    Ok((outcome, signals.caught()))
}

/// Adds the judges, policies first.
fn seat(
    mut engine: Engine,
    host: &Arc<Host>,
    machine: &dyn Machine,
    (opening, judges): (&Opening, &Judges),
) -> anyhow::Result<Engine> {
    engine = engine.numbered(opening.numbers());
    for Member { entry: policy, .. } in &opening.set.members {
        let plan = PolicyPlan::configured(policy.said.clone())?;
        engine = engine.judge(load::judge(host, &plan, &policy.code, machine)?);
    }
    for tool in &judges.tools {
        engine = engine.judge(tool::candidate(tool.name.as_str(), tool.settings.clone()));
    }
    Ok(engine)
}

/// Lets the guest run that was held at the start.
fn release(vm: &VmHandle, vcpus: usize) {
    for vcpu in (0..).take(vcpus) {
        // One that has ended needs no releasing.
        let _ = vm.resume(vcpu);
    }
}
