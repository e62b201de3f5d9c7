//! `oriel run`

use std::sync::Arc;

use anyhow::Context;
use oriel_engine::{Engine, Outcome, Sink};
use oriel_machine::Parts;
use oriel_policy::Host;

use crate::{
    args::RunArgs,
    exit::Exit,
    guest, load,
    output::{LineWriter, Tee, Words},
    plan::{Plan, PolicyPlan},
    serial::Serial,
    signals::StopsOnSignal,
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
    let parts = guest::build(&plan, identity, serial.clone())?;
    let ended = watch(parts, &plan.policies, Arc::new(Tee(vec![serial, sink])));
    if let Some(lines) = lines {
        lines.finish();
    }
    let (outcome, signal) = ended?;
    Ok(signal.map_or_else(|| Exit::of(&outcome.end), Exit::Signal))
}

/// Runs a machine under these policies; answers how it ended, and which signal ended it.
pub(crate) fn watch(
    parts: Parts,
    policies: &[PolicyPlan],
    sink: Arc<dyn Sink>,
) -> anyhow::Result<(Outcome, Option<u8>)> {
    let host =
        Arc::new(Host::new(Default::default()).context("the host of policies cannot be set up")?);
    let machine = parts.machine.clone();
    let mut engine = Engine::new(host.clone(), parts).sink(sink);
    for policy in policies {
        engine = engine.judge(load::judge(&host, policy, &*machine)?);
    }
    let running = engine.start().context("the VM was not started")?;
    let signals = StopsOnSignal::install(running.handle())?;
    let outcome = running.wait();
    Ok((outcome, signals.caught()))
}
