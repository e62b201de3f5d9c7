//! What recording and replaying cost, in one run: `cargo bench -p oriel-engine --bench journal`.
//!
//! Events without commands, of one vCPU: what recording adds to one (its thread's own time: what the
//! writer does is not on it), how many a second are in the file, in how many bytes each, and how fast
//! they are replayed. Quickest rounds are compared, because machines are noisy.

#[path = "event_path/guest.rs"]
mod guest;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use oriel_engine::{
    Engine, Journal, Station,
    journal::{
        Full, Recording, Settings,
        replay::{Cast, Code, replay},
    },
    policies,
};
use oriel_machine::{mock::Scenario, outlet::Kept};
use oriel_policy::{Host, HostSettings, Plugin, Terms};
use oriel_protocol::{Event, EventKind, Verdict, events::Msr, x86::msr};

const ROUNDS: u32 = 40;
/// Of a round: as many as a ring holds, so that no round waits for the writer.
const EVENTS: u32 = 10_000;
/// Of the run that is written and replayed.
const MANY: u32 = 2_000_000;

fn main() -> Result<()> {
    let host = Arc::new(Host::new(HostSettings::default())?);
    let plugin = host.load("bench", &guest::component()?)?;
    hot_path(&host, &plugin)?;
    let bytes = throughput(&host, &plugin)?;
    replayed(&host, &plugin, &bytes)
}

fn event() -> Event {
    let data = Msr {
        msr: msr::LSTAR,
        old: 0xffff_ffff_8100_0000,
        new: 0xffff_ffff_8200_0000,
    }
    .into();
    Event {
        data,
        ip: 0xffff_ffff_8100_1234,
        cr3: 0x1234_5000,
        cpl: 0,
        allowed: EventKind::Msr.verdicts(),
        retired: false,
    }
}

/// One vCPU's station with one policy, and the journal that it is recorded in.
fn station(
    host: &Arc<Host>,
    plugin: &Arc<Plugin>,
    file: Option<&File>,
) -> Result<(Station, Option<Arc<Journal>>)> {
    let terms = Terms {
        name: "bench".to_owned(),
        events: plugin.inspection().hears,
        ..Terms::default()
    };
    let policy = Arc::new(host.prepare(plugin, terms)?);
    let parts = Scenario::new("bench").build(Arc::new(Kept::default()))?;
    let settings = Settings {
        full: Full::Block,
        patience: Duration::from_secs(600),
        ..Settings::default()
    };
    let identity = parts.machine.identity().clone();
    let journal = file.map(|file| Journal::start(file.try_clone()?, (&identity, 1), settings));
    let journal = journal.transpose()?;
    let mut engine = Engine::new(host.clone(), parts);
    if let Some(journal) = &journal {
        engine = engine.record(journal.clone());
    }
    let candidate = policies::candidate(host, &policy, Arc::default());
    let mut stations = engine.judge(candidate).assemble()?.stations;
    let mut station = stations.pop().context("one vCPU")?;
    station.ready();
    Ok((station, journal))
}

/// A file without a name, which is gone with its last user.
fn scratch() -> Result<File> {
    let name = format!("oriel-bench-{}.journal", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = File::options();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn judged(station: &mut Station, event: &Event) {
    assert_eq!(
        station.judge(std::hint::black_box(event)),
        Verdict::Continue
    );
}

/// Nanoseconds of an event.
fn time(station: &mut Station, event: &Event) -> f64 {
    let started = Instant::now();
    for _ in 0..EVENTS {
        judged(station, event);
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

/// What recording adds. Both use the precise clock, so that the clock is not counted.
fn hot_path(host: &Arc<Host>, plugin: &Arc<Plugin>) -> Result<()> {
    let event = event();
    let (mut plain, _) = station(host, plugin, None)?;
    let (mut recorded, journal) = station(host, plugin, Some(&scratch()?))?;
    let mut best = [f64::MAX; 2];
    for _ in 0..ROUNDS {
        best[0] = best[0].min(time(&mut plain, &event));
        best[1] = best[1].min(time(&mut recorded, &event));
    }
    drop(recorded);
    let closed = journal.and_then(|journal| journal.finish("bench"));
    let closed = closed.context("a journal that is closed once")?;
    anyhow::ensure!(closed.lost == 0, "{closed:?}");
    let clock = clock();
    let [plain, recorded] = best;
    row("an event", plain, "ns", None);
    row("the same, recorded", recorded, "ns", None);
    row("  of which the precise clock", clock, "ns", None);
    let added = recorded - plain - clock;
    row("recording adds beside it", added, "ns", Some(added <= 60.0));
    Ok(())
}

/// What the precise clock costs more than the coarse one that is used where nobody compares times.
fn clock() -> f64 {
    let reads = |id| {
        let started = Instant::now();
        for _ in 0..EVENTS {
            std::hint::black_box(rustix::time::clock_gettime(id));
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
    };
    let best = |id| (0..ROUNDS).map(|_| reads(id)).fold(f64::MAX, f64::min);
    best(rustix::time::ClockId::Monotonic) - best(rustix::time::ClockId::MonotonicCoarse)
}

/// How many events a second are in the file, and in how many bytes.
fn throughput(host: &Arc<Host>, plugin: &Arc<Plugin>) -> Result<Vec<u8>> {
    let (event, file) = (event(), scratch()?);
    let (mut station, journal) = station(host, plugin, Some(&file))?;
    let started = Instant::now();
    for _ in 0..MANY {
        judged(&mut station, &event);
    }
    drop(station);
    let closed = journal.and_then(|journal| journal.finish("bench"));
    let closed = closed.context("a journal that is closed once")?;
    let rate = f64::from(MANY) / started.elapsed().as_secs_f64();
    anyhow::ensure!(closed.lost == 0 && closed.whole, "{closed:?}");
    let each = closed.bytes as f64 / f64::from(MANY);
    row("written", rate / 1e6, "M events/s", Some(rate >= 1e6));
    row("an event in the file", each, "bytes", Some(each <= 64.0));
    let mut bytes = Vec::new();
    let mut file = file;
    std::io::Seek::rewind(&mut file)?;
    BufReader::new(file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How fast they are read and asked again.
fn replayed(host: &Arc<Host>, plugin: &Arc<Plugin>, bytes: &[u8]) -> Result<()> {
    let cast = Cast {
        host: host.clone(),
        codes: vec![Code {
            name: None,
            file: "bench".to_owned(),
            plugin: plugin.clone(),
        }],
        settings: BTreeMap::new(),
    };
    let started = Instant::now();
    let recording = Recording::read(bytes)?;
    let read = started.elapsed();
    let tally = replay(&recording, &cast, |_| ())?;
    let all = started.elapsed().as_secs_f64();
    anyhow::ensure!(tally.same == u64::from(MANY), "{tally:?}");
    let rate = f64::from(MANY) / all;
    row(
        "read",
        f64::from(MANY) / read.as_secs_f64() / 1e3,
        "k events/s",
        None,
    );
    row(
        "read and replayed",
        rate / 1e3,
        "k events/s",
        Some(rate >= 2e5),
    );
    Ok(())
}

fn row(what: &str, value: f64, unit: &str, met: Option<bool>) {
    let met = match met {
        Some(true) => "(met)",
        Some(false) => "(MISSED)",
        None => "",
    };
    println!("{what:<34} {value:>10.2} {unit} {met}");
}
