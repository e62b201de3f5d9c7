//! `oriel plugin bench`: what a plugin costs an event. Time is measured as the engine measures it;
//! instructions, calls and memory in a second run, because counting them takes time.

mod cost;
mod stopwatch;

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use anyhow::{Context, ensure};
use oriel_engine::{Engine, Sink};
use oriel_machine::{
    mock::{Action, Instruction, Scenario},
    outlet,
};
use oriel_policy::{HostSettings, Spent};

use super::{print_json, stage::Stage};
use crate::{args::BenchArgs, exit::Exit, guest, host};
use cost::Cost;
use stopwatch::{Stopwatch, Times};

/// How long to wait for an event that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures it, and says what came of it.
pub(super) fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    let scenario = endless(&args.scenario)?;
    let (times, _) = measure(args, &scenario, false)?;
    let (_, spent) = measure(args, &scenario, true)?;
    let cost = Cost::of(&times, spent)?;
    if args.json {
        print_json(&cost)?;
    } else {
        cost.print();
    }
    Ok(Exit::Success)
}

/// The scenario over and over, without what would end it.
fn endless(name: &str) -> anyhow::Result<Scenario> {
    let scenario = guest::scenario(name)?;
    let ends = |action: &Action| match action {
        Action::Finish(_) | Action::Event(Instruction::Shutdown(_)) => true,
        Action::Event(_) | Action::Report(_) | Action::Serial(_) | Action::WaitFor(_) => false,
        Action::Signal(_) | Action::Idle(_) | Action::Unjudged(_) => false,
    };
    Ok(scenario.without(|step| ends(&step.action)).looping())
}

/// Runs until there were so many events; with `count`, what they use up is counted.
fn measure(args: &BenchArgs, scenario: &Scenario, count: bool) -> anyhow::Result<(Times, Spent)> {
    let settings = HostSettings {
        count_fuel: count,
        ..host::settings()
    };
    let stage = Stage::with(&args.stage, settings)?;
    let parts = scenario.build(Arc::new(outlet::Kept::default()))?;
    let candidate = stage.candidate(&parts)?;
    let hosted = candidate.hosted.clone().context("a policy has a host")?;
    let (enough, told) = mpsc::channel();
    let stopwatch = Arc::new(Stopwatch::new(args.events, enough));
    let engine = Engine::new(stage.host(), parts).sink(stopwatch.clone() as Arc<dyn Sink>);
    let running = engine
        .judge(candidate)
        .start()
        .context("the VM was not started")?;
    let came = told.recv_timeout(PATIENCE).is_ok();
    running.handle().stop();
    running.wait();
    ensure!(
        came || stopwatch.seen() > 0,
        "it judged nothing in this scenario; name one with events that it hears: --scenario FILE"
    );
    Ok((stopwatch.times(), hosted.spent()))
}
