//! `oriel run`

use std::sync::Arc;

use anyhow::Context;
use oriel_engine::{Audit, Engine, Outcome, Settings, Sink, VmHandle, tool};
use oriel_machine::Parts;
use oriel_policy::Host;

use crate::{
    args::RunArgs,
    audit,
    exit::Exit,
    guest, load,
    output::{LineWriter, Tee, Words},
    plan::{Judges, Plan},
    serial::Serial,
    signals::StopsOnSignal,
    tools::Tools,
};

/// Runs a guest under policies until it ends.
pub(crate) fn run(args: RunArgs) -> anyhow::Result<Exit> {
    let plan = Plan::resolve(args)?;
    let identity = guest::identity(&plan)?;
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
    let audit = audit.map(|audit| audit.start(&identity)).transpose()?;
    let parts = guest::build(&plan, identity, serial.clone())?;
    let sink = Arc::new(Tee(vec![serial, sink]));
    let ended = watch(parts, &plan.judges, sink, audit.clone());
    if let Some(audit) = audit {
        audit::finish(&audit, &last_words(&ended));
    }
    if let Some(lines) = lines {
        lines.finish();
    }
    let (outcome, signal) = ended?;
    Ok(signal.map_or_else(|| Exit::of(&outcome.end), Exit::Signal))
}

/// How the VM ended, for the audit trail.
fn last_words(ended: &anyhow::Result<(Outcome, Option<u8>)>) -> String {
    match ended {
        Ok((outcome, _)) => outcome.end.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

/// Runs a machine under these judges; answers how it ended, and which signal ended it.
pub(crate) fn watch(
    parts: Parts,
    judges: &Judges,
    sink: Arc<dyn Sink>,
    audit: Option<Arc<Audit>>,
) -> anyhow::Result<(Outcome, Option<u8>)> {
    let host =
        Arc::new(Host::new(judges.room.host()).context("the host of policies cannot be set up")?);
    let (machine, vcpus) = (parts.machine.clone(), parts.vcpus.len());
    let held = !judges.tools.is_empty() && !judges.tool_wait.is_zero();
    let settings = Settings {
        held,
        round: judges.room.round,
        ..Settings::default()
    };
    let mut engine = Engine::new(host.clone(), parts)
        .sink(sink)
        .settings(settings);
    if let Some(audit) = audit {
        engine = engine.audit(audit);
    }
    for policy in &judges.policies {
        engine = engine.judge(load::judge(&host, policy, &*machine)?);
    }
    for tool in &judges.tools {
        engine = engine.judge(tool::candidate(tool.name.as_str(), tool.settings.clone()));
    }
    let running = engine.start().context("the VM was not started")?;
    let vm = running.handle();
    let signals = StopsOnSignal::install(vm.clone())?;
    let tools = Tools::connect(&judges.tools, &vm, &*machine)?;
    if held {
        tools.wait(judges.tool_wait);
        release(&vm, vcpus);
    }
    let outcome = running.wait();
    drop(tools);
    Ok((outcome, signals.caught()))
}

/// Lets the guest run that was held at the start.
fn release(vm: &VmHandle, vcpus: usize) {
    for vcpu in (0..).take(vcpus) {
        // One that has ended needs no releasing.
        let _ = vm.resume(vcpu);
    }
}
