//! What an event costs, in one run: `cargo bench -p oriel-engine --bench event_path`.
//!
//! Five ways, taken in turn and compared by their quickest round, because machines are noisy:
//! a native judge, the raw typed component call, the engine with that same component as its
//! policy, an event that a filter refuses, and an event that nobody listens to.

#[path = "event_path/guest.rs"]
mod guest;
#[path = "event_path/raw.rs"]
mod raw;

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use oriel_engine::{Candidate, Desk, Engine, Judge, Native, Station, policies};
use oriel_machine::{mock::Scenario, outlet::Kept};
use oriel_policy::{Host, HostSettings, Store, Terms};
use oriel_protocol::{Case, Event, EventKind, Filter, Grant, Only, Verdict, events::Msr, x86::msr};

const ROUNDS: u32 = 40;
const EVENTS: u32 = 20_000;

fn main() -> Result<()> {
    let component = guest::component()?;
    let host = Arc::new(Host::new(HostSettings::default())?);
    let mut raw = raw::Raw::new(&component)?;
    let mut native = station(&host, judge(Filter::any(EventKind::Msr)))?;
    let mut engine = station(&host, policy(&host, &component)?)?;
    let elsewhere = Filter {
        only: Only::Numbers { first: 0, last: 0 },
        ..Filter::any(EventKind::Msr)
    };
    let mut filtered = station(&host, judge(elsewhere))?;
    let mut unsubscribed = station(&host, judge(Filter::any(EventKind::Cpuid)))?;
    let event = event();
    let mut best = [f64::MAX; 5];
    for _ in 0..ROUNDS {
        let mut take = |at: usize, ns: f64| best[at] = best[at].min(ns);
        take(0, time(|| judged(&mut native, &event)));
        take(1, time(|| raw.judge()));
        take(2, time(|| judged(&mut engine, &event)));
        take(3, time(|| judged(&mut filtered, &event)));
        take(4, time(|| judged(&mut unsubscribed, &event)));
    }
    print(best);
    Ok(())
}

/// Nanoseconds of one event.
fn time(mut event: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..EVENTS {
        event();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

fn judged(station: &mut Station, event: &Event) {
    assert_eq!(
        station.judge(std::hint::black_box(event)),
        Verdict::Continue
    );
}

fn event() -> Event {
    let data = Msr {
        msr: msr::LSTAR,
        old: 1,
        new: 2,
    }
    .into();
    Event {
        data,
        ip: 0x1000,
        cr3: 0x2000,
        cpl: 0,
        allowed: EventKind::Msr.verdicts(),
        retired: false,
    }
}

/// One vCPU's station with one judge, and nobody who wants to know.
fn station(host: &Arc<Host>, candidate: Candidate) -> Result<Station> {
    let parts = Scenario::new("bench").build(Arc::new(Kept::default()))?;
    let mut stations = Engine::new(host.clone(), parts)
        .judge(candidate)
        .assemble()?
        .stations;
    let mut station = stations.pop().context("one vCPU")?;
    station.ready();
    Ok(station)
}

fn judge(filter: Filter) -> Candidate {
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: oriel_protocol::EventSet::all(),
        filters: vec![filter],
        observations: vec![],
        store: Arc::default(),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(|_, _| -> Box<dyn Judge> {
            Box::new(Native(|_: &Case<'_>, _: &mut Desk| Verdict::Continue))
        }),
    }
}

fn policy(host: &Arc<Host>, component: &[u8]) -> Result<Candidate> {
    let plugin = host.load("bench", component)?;
    let events = plugin.inspection().hears;
    let terms = Terms {
        name: "bench".to_owned(),
        events,
        ..Terms::default()
    };
    let policy = Arc::new(host.prepare(&plugin, terms)?);
    Ok(policies::candidate(
        host,
        &policy,
        Arc::new(Store::default()),
    ))
}

fn print([native, raw, engine, filtered, unsubscribed]: [f64; 5]) {
    let row = |what: &str, ns: f64, ratio: f64, of: &str, goal: f64| {
        let met = if ratio <= goal { "met" } else { "MISSED" };
        println!("{what:<34} {ns:>8.1} ns   {ratio:>5.2} × {of:<12} goal ≤ {goal} ({met})");
    };
    println!("quickest of {ROUNDS} rounds of {EVENTS} events each");
    println!("{:<34} {native:>8.1} ns", "a native judge");
    println!("{:<34} {raw:>8.1} ns", "the raw typed component call");
    row(
        "the engine with one policy",
        engine,
        engine / raw,
        "raw call",
        1.5,
    );
    row(
        "an event that a filter refuses",
        filtered,
        filtered / native,
        "native judge",
        4.0,
    );
    row(
        "an event that nobody listens to",
        unsubscribed,
        unsubscribed / native,
        "native judge",
        1.0,
    );
}
