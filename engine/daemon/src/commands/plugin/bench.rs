//! `oriel plugin bench`: what a plugin costs an event. Time is measured as the engine measures it;
//! instructions, calls and memory in a second run, because counting them takes time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use anyhow::{Context, ensure};
use oriel_engine::{Engine, Record, Sink, record::Judged};
use oriel_machine::{
    mock::{Action, Instruction, Scenario},
    outlet,
};
use oriel_policy::{HostSettings, Spent};
use serde::Serialize;

use super::{print_json, stage::Stage};
use crate::{args::BenchArgs, exit::Exit, guest, output::say};

/// How long to wait for an event that does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an event costs.
#[derive(Debug, Serialize)]
struct Cost {
    /// How many events were judged.
    events: u64,
    /// Wall time of a judgement.
    ns: Quantiles,
    /// Wasm instructions of an event, as fuel counts them; the mean.
    instructions: f64,
    /// What it asked the host for in an event; the mean.
    host_calls: f64,
    /// The most memory that an instance has had, in bytes.
    memory_bytes: usize,
    /// The median of each kind of event, in nanoseconds.
    kinds: BTreeMap<&'static str, u64>,
    /// Oriel itself was compiled without optimisation: times are longer than an operator's.
    debug: bool,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    min: u64,
    median: u64,
    p99: u64,
}

/// Measures it, and says what came of it.
pub(super) fn run(args: &BenchArgs) -> anyhow::Result<Exit> {
    let scenario = endless(&args.scenario)?;
    let (times, _) = measure(args, &scenario, false)?;
    let (_, spent) = measure(args, &scenario, true)?;
    let cost = Cost::of(&times, spent)?;
    if args.json {
        print_json(&cost)?;
    } else {
        print(&cost);
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
fn measure(
    args: &BenchArgs,
    scenario: &Scenario,
    count: bool,
) -> anyhow::Result<(BTreeMap<&'static str, Vec<u64>>, Spent)> {
    let settings = HostSettings {
        count_fuel: count,
        ..HostSettings::default()
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

/// Takes the times of judgements, and says when there were enough.
struct Stopwatch {
    wanted: u64,
    seen: AtomicU64,
    times: std::sync::Mutex<BTreeMap<&'static str, Vec<u64>>>,
    enough: mpsc::Sender<()>,
}

impl Stopwatch {
    fn new(wanted: u64, enough: mpsc::Sender<()>) -> Self {
        Self {
            wanted: wanted.max(1),
            seen: AtomicU64::new(0),
            times: std::sync::Mutex::default(),
            enough,
        }
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn times(&self) -> BTreeMap<&'static str, Vec<u64>> {
        let mut times = self
            .times
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut times)
    }

    fn take(&self, judged: &Judged) {
        let Some(opinion) = judged.judges.first() else {
            return;
        };
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if seen <= self.wanted {
            let mut times = self
                .times
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            times
                .entry(judged.event.kind().name())
                .or_default()
                .push(opinion.ns);
        }
        if seen == self.wanted {
            // Whoever waits may have given up.
            let _ = self.enough.send(());
        }
    }
}

impl Sink for Stopwatch {
    fn put(&self, record: Record) {
        if let Record::Event(judged) = record {
            self.take(&judged);
        }
    }
}

impl Cost {
    fn of(times: &BTreeMap<&'static str, Vec<u64>>, spent: Spent) -> anyhow::Result<Self> {
        let mut all: Vec<u64> = times.values().flatten().copied().collect();
        all.sort_unstable();
        let kinds = times.iter().map(|(kind, times)| {
            let mut times = times.clone();
            times.sort_unstable();
            (*kind, quantile(&times, 50))
        });
        Ok(Self {
            events: u64::try_from(all.len())?,
            ns: Quantiles {
                min: quantile(&all, 0),
                median: quantile(&all, 50),
                p99: quantile(&all, 99),
            },
            instructions: mean(spent.instructions, spent.events),
            host_calls: mean(spent.host_calls, spent.events),
            memory_bytes: spent.memory,
            kinds: kinds.collect(),
            debug: cfg!(debug_assertions),
        })
    }
}

/// Of a sorted list.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

/// With one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "a mean for people")]
fn mean(sum: u64, count: u64) -> f64 {
    (sum as f64 / count.max(1) as f64 * 10.0).round() / 10.0
}

fn print(cost: &Cost) {
    let Quantiles { min, median, p99 } = cost.ns;
    say(format_args!("events        {}", cost.events));
    say(format_args!(
        "time          {median} ns an event (min {min}, p99 {p99})"
    ));
    for (kind, median) in &cost.kinds {
        say(format_args!("  {kind:<12}{median} ns"));
    }
    say(format_args!("instructions  {} an event", cost.instructions));
    say(format_args!("host calls    {} an event", cost.host_calls));
    say(format_args!(
        "memory        {} KiB an instance",
        cost.memory_bytes.div_ceil(1024)
    ));
    if cost.debug {
        say(format_args!(
            "this oriel was compiled for debugging: its part of the time is larger than an operator's"
        ));
    }
}
