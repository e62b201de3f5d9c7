//! What policies cost when they are changed, when they do nothing, and around each call, in one run:
//! `cargo bench -p oriel-engine --bench policy`.
//!
//! Quickest rounds are compared, because machines are noisy; of swaps the 99th percentile is told,
//! because that is what a guest notices, beside that of a loop which does nothing for as long. Run it
//! with nothing else on the machine: a thread that waits for a processor counts as kept.

#[path = "event_path/guest.rs"]
mod guest;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use oriel_engine::{Candidate, Engine, Settings, Station, policies, roster::SwapOptions};
use oriel_machine::{
    mock::{Scenario, Step},
    outlet::Kept,
};
use oriel_policy::{Host, HostSettings, Limits, Place, Plugin, Policy, Store, Terms};
use oriel_protocol::{
    Event, EventKind, EventSet, Verdict,
    commands::service::{StoreAdd, StoreGet, StoreSet},
    events::Msr,
    x86::msr,
};

const SWAPS: usize = 1_000;
const ROUNDS: u32 = 40;
const TIMES: u32 = 20_000;

fn main() -> Result<()> {
    let host = Arc::new(Host::new(HostSettings {
        pool: 1_100,
        ..HostSettings::default()
    })?);
    let plugin = host.load("policy", &guest::with_state()?)?;
    swaps(&host, &plugin)?;
    idle(&host, &plugin)?;
    company(&host, &plugin)?;
    store()?;
    watchdog(&host);
    Ok(())
}

fn prepared(host: &Host, plugin: &Arc<Plugin>, name: &str, events: EventSet) -> Result<Policy> {
    let terms = Terms {
        name: name.to_owned(),
        events,
        limits: Limits {
            instances: 1_100,
            ..Limits::default()
        },
        ..Terms::default()
    };
    Ok(host.prepare(plugin, terms)?)
}

fn candidate(host: &Arc<Host>, plugin: &Arc<Plugin>, name: &str) -> Result<Candidate> {
    let hears = plugin.inspection().hears;
    let policy = prepared(host, plugin, name, hears)?;
    Ok(policies::candidate(host, &Arc::new(policy), Arc::default()))
}

/// Swaps under load on two vCPUs, with 4 KiB of state each: how long a vCPU is kept.
fn swaps(host: &Arc<Host>, plugin: &Arc<Plugin>) -> Result<()> {
    let write = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu);
    let scenario = Scenario::new("swaps").vcpus(2);
    let scenario = scenario.step(write(0)).step(write(1)).looping();
    let settings = Settings {
        changes_per_minute: usize::MAX,
        ..Settings::default()
    };
    let running = Engine::new(host.clone(), scenario.build(Arc::new(Kept::default()))?)
        .settings(settings)
        .judge(candidate(host, plugin, "policy")?)
        .start()?;
    let roster = running.handle().roster();
    let (mut stalls, mut whole) = (Vec::new(), Duration::ZERO);
    for _ in 0..SWAPS {
        let next = candidate(host, plugin, "policy")?;
        let started = Instant::now();
        let swapped = roster.swap(next, &SwapOptions::default())?;
        whole += started.elapsed();
        stalls.push(swapped.stall_ns);
    }
    stalls.sort_unstable();
    let length = Duration::from_nanos(at(&stalls, 50));
    let quiet = quiet(length);
    running.handle().stop();
    let outcome = running.wait();
    told("a vCPU is kept by a swap (4 KiB of state)", &stalls);
    told("a loop of that length, beside those vCPUs", &quiet);
    println!(
        "a whole swap                               {:.0} µs, beside {:.0} events/s",
        whole.as_secs_f64() * 1e6 / SWAPS as f64,
        outcome.events as f64 / outcome.ran.as_secs_f64()
    );
    Ok(())
}

/// How long a loop takes that is to take so long and does nothing, in order.
fn quiet(length: Duration) -> Vec<u64> {
    let spin = || {
        let started = Instant::now();
        while started.elapsed() < length {
            std::hint::spin_loop();
        }
        u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    };
    let mut took: Vec<_> = (0..SWAPS).map(|_| spin()).collect();
    took.sort_unstable();
    took
}

/// The value behind so many of a hundred.
fn at(sorted: &[u64], percent: usize) -> u64 {
    let at = sorted.len() * percent / 100;
    sorted[at.min(sorted.len() - 1)]
}

fn told(what: &str, sorted: &[u64]) {
    let us = |percent| at(sorted, percent) as f64 / 1e3;
    println!(
        "{what:<42} p50 {:.1} µs, p99 {:.1} µs, most {:.1} µs",
        us(50),
        us(99),
        us(100)
    );
}

/// What instances take that do nothing.
fn idle(host: &Arc<Host>, plugin: &Arc<Plugin>) -> Result<()> {
    let policy = prepared(host, plugin, "idle", plugin.inspection().hears)?;
    let slot = host.slot();
    let mut kept = Vec::new();
    let before = resident()?;
    for goal in [1, 100, 1_000] {
        while kept.len() < goal {
            let (made, _) = policy.instantiate(Place::Vm, &slot, Box::new(Nothing));
            kept.push(made?);
        }
        let each = (resident()? - before) as f64 / goal as f64 / 1024.0;
        println!("{goal:>5} idle instances                       {each:.1} KiB each");
    }
    Ok(())
}

/// Bytes of this process that are in memory.
fn resident() -> Result<i64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).context("statm")?;
    Ok(pages.parse::<i64>()? * 4096)
}

/// A desk at which there is nothing to be had.
struct Nothing;

impl oriel_policy::Desk for Nothing {
    fn vm(
        &mut self,
        _: oriel_protocol::VmCall,
    ) -> Result<oriel_protocol::commands::VmReply, oriel_protocol::Refusal> {
        Err(oriel_protocol::Refusal::Unavailable)
    }

    fn vcpu(
        &mut self,
        _: u32,
        _: oriel_protocol::VcpuCall,
    ) -> Result<oriel_protocol::commands::VcpuReply, oriel_protocol::Refusal> {
        Err(oriel_protocol::Refusal::Unavailable)
    }

    fn service(
        &mut self,
        _: oriel_protocol::ServiceCall,
    ) -> Result<oriel_protocol::commands::ServiceReply, oriel_protocol::Refusal> {
        Err(oriel_protocol::Refusal::Unavailable)
    }
}

/// An event where one policy judges, alone and among 63 others that do not listen.
fn company(host: &Arc<Host>, plugin: &Arc<Plugin>) -> Result<()> {
    let mut alone = station(host, vec![candidate(host, plugin, "one")?])?;
    let mut many = vec![candidate(host, plugin, "one")?];
    for number in 1..64 {
        let name = format!("deaf-{number}");
        let policy = prepared(host, plugin, &name, EventSet::NONE)?;
        many.push(policies::candidate(host, &Arc::new(policy), Arc::default()));
    }
    let mut among = station(host, many)?;
    let event = event();
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(time(|| judged(&mut alone, &event)));
        best[1] = best[1].min(time(|| judged(&mut among, &event)));
    }
    let [one, of_64] = best;
    println!(
        "an event, one policy                       {one:.0} ns; one of 64: {of_64:.0} ns, {:.2} of it",
        of_64 / one
    );
    Ok(())
}

fn station(host: &Arc<Host>, judges: Vec<Candidate>) -> Result<Station> {
    let parts = Scenario::new("bench").build(Arc::new(Kept::default()))?;
    let engine = Engine::new(host.clone(), parts);
    let engine = judges.into_iter().fold(engine, Engine::judge);
    let mut station = engine.assemble()?.stations.pop().context("one vCPU")?;
    station.ready();
    Ok(station)
}

fn judged(station: &mut Station, event: &Event) {
    assert_eq!(station.judge(black_box(event)), Verdict::Continue);
}

fn event() -> Event {
    let data = Msr {
        msr: msr::LSTAR,
        old: 1,
        new: 2,
    };
    Event {
        data: data.into(),
        ip: 0x1000,
        cr3: 0x2000,
        cpl: 0,
        allowed: EventKind::Msr.verdicts(),
        retired: false,
    }
}

fn store() -> Result<()> {
    let store = Store::default();
    let key = || "a key of some length".to_owned();
    let set = best(|| {
        let value = vec![7; 64];
        assert!(store.apply(StoreSet { key: key(), value }).is_ok());
    });
    let get = best(|| {
        assert!(store.apply(StoreGet { key: key() }).is_ok());
    });
    let number = || "a number".to_owned();
    let add = best(|| {
        let add = StoreAdd {
            key: number(),
            delta: 1,
        };
        assert!(store.apply(add).is_ok());
    });
    println!(
        "the store, 64 bytes                        set {set:.0} ns, get {get:.0} ns, add {add:.0} ns"
    );
    Ok(())
}

/// Arming and disarming: what each call pays so that the watchdog can stop it.
fn watchdog(host: &Host) {
    let slot = host.slot();
    let round = Duration::from_millis(20);
    let armed = best(|| drop(black_box(slot.round(round))));
    println!("arming the watchdog                        {armed:.1} ns");
}

fn best(mut what: impl FnMut()) -> f64 {
    (0..ROUNDS)
        .map(|_| time(&mut what))
        .fold(f64::MAX, f64::min)
}

/// Nanoseconds of one.
fn time(mut what: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..TIMES {
        what();
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}
