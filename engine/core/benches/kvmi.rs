//! What a KVMI tool costs, in one run: `cargo bench -p oriel-engine --bench kvmi`.
//!
//! Commands over a socket are compared with a raw ping-pong of the same sizes between two threads,
//! in turn, by the quickest round, because machines are noisy. An event that goes to a tool which
//! echoes stands beside the same event judged by a policy.

#[path = "event_path/guest.rs"]
mod component;
#[path = "kvmi/peer.rs"]
mod peer;

use std::{
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use oriel_engine::{Candidate, Engine, Running, policies, tool};
use oriel_machine::{
    mock::{Scenario, Step},
    outlet::Kept,
};
use oriel_policy::{Host, HostSettings, Store, Terms};
use oriel_protocol::{
    EventKind, VcpuCall, VmCall,
    commands::{
        vcpu::{ControlEvents, ControlMsr, GetVcpuInfo},
        vm::{GetGuestInfo, PauseVcpu, ReadPhysical},
    },
    x86::msr,
};
use peer::{Peer, Raw};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

const ROUNDS: u32 = 20;
const EXCHANGES: u32 = 1_000;
const EVENTS: u64 = 5_000;

fn main() -> Result<()> {
    let host = Arc::new(Host::new(HostSettings::default())?);
    println!("quickest of {ROUNDS} rounds of {EXCHANGES} exchanges each");
    running(&host)?;
    // Who is woken where decides more than what is done: from here on everybody is in one place.
    stay_on_one_processor()?;
    commands(&host)?;
    events(&host)
}

/// Keeps this thread, and those that it starts, on the processor that it is on.
fn stay_on_one_processor() -> Result<()> {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    Ok(sched_setaffinity(None, &here)?)
}

/// Commands, each beside a raw exchange of its sizes.
fn commands(host: &Arc<Host>) -> Result<()> {
    with_tool(host, &guest(Step::idle(1000)), |peer| {
        let guest_info = peer.vm(VmCall::GetGuestInfo(GetGuestInfo {}));
        row("a VM command", peer, &guest_info, Some(0.7))?;
        let read = peer.vm(VmCall::ReadPhysical(READ));
        row("a read of 4 KiB", peer, &read, Some(0.7))?;
        hold(peer)?;
        let held = peer.vcpu(1, VcpuCall::GetVcpuInfo(GetVcpuInfo {}));
        row("a command on a vCPU that is held", peer, &held, Some(0.4))
    })
}

/// A command for which a vCPU has to leave the guest, on as many processors as there are.
fn running(host: &Arc<Host>) -> Result<()> {
    with_tool(host, &guest(Step::plain().times(1000)).vcpus(1), |peer| {
        let running = peer.vcpu(0, VcpuCall::GetVcpuInfo(GetVcpuInfo {}));
        row("a command on a vCPU that runs", peer, &running, None)
    })
}

const READ: ReadPhysical = ReadPhysical {
    gpa: 0x1000,
    length: 4096,
};

/// Two vCPUs that do this for ever.
fn guest(step: Step) -> Scenario {
    let guest = Scenario::new("guest").vcpus(2).step(step);
    guest.everywhere().looping()
}

/// A guest with a tool, for as long as `act` takes.
fn with_tool(
    host: &Arc<Host>,
    guest: &Scenario,
    act: impl FnOnce(&mut Peer) -> Result<()>,
) -> Result<()> {
    let (running, mut peer) = hooked(host, guest, false)?;
    act(&mut peer)?;
    running.handle().stop();
    drop(peer);
    running.wait();
    Ok(())
}

/// Holds vCPU 1 in a `pause` event, as tools do that read a VM.
fn hold(peer: &mut Peer) -> Result<()> {
    let pause = PauseVcpu {
        vcpu: 1,
        wait: true,
    };
    let pause = peer.vm(VmCall::PauseVcpu(pause));
    peer.exchange(&pause)?;
    peer.event().map(drop)
}

/// One kind of command in turn with a raw exchange of its sizes.
fn row(what: &str, peer: &mut Peer, request: &[u8], goal: Option<f64>) -> Result<()> {
    let reply = peer.exchange(request)?;
    let mut raw = Raw::start(request.len(), reply)?;
    let (mut best, mut best_raw) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        best_raw = best_raw.min(time(|| raw.exchange())?);
        best = best.min(time(|| peer.exchange(request).map(drop))?);
    }
    raw.stop();
    let ratio = best_raw / best;
    let goal = goal.map_or(String::new(), |goal| {
        let met = if ratio >= goal { "met" } else { "MISSED" };
        format!("goal ≥ {goal} ({met})")
    });
    let per_second = 1e9 / best;
    println!(
        "{what:<34} {best:>8.0} ns {per_second:>8.0}/s   {ratio:>5.2} of raw ({best_raw:.0} ns)   {goal}"
    );
    Ok(())
}

/// Nanoseconds of one exchange.
fn time(mut exchange: impl FnMut() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    for _ in 0..EXCHANGES {
        exchange()?;
    }
    Ok(started.elapsed().as_secs_f64() * 1e9 / f64::from(EXCHANGES))
}

/// The same event, once to a tool that echoes, once to a policy.
fn events(host: &Arc<Host>) -> Result<()> {
    let mut best = [f64::MAX; 2];
    for _ in 0..5 {
        best[0] = best[0].min(echoed(host)?);
        best[1] = best[1].min(judged(host)?);
    }
    let [tool, policy] = best;
    println!("{:<34} {tool:>8.0} ns", "an event to a tool that echoes");
    println!(
        "{:<34} {policy:>8.0} ns   {:.0} times quicker",
        "the same event to a policy",
        tool / policy
    );
    Ok(())
}

/// Writes of LSTAR, each of another value than the last: KVMI reports no others.
fn storm() -> Scenario {
    let write = |value| Step::write_msr(msr::LSTAR, value).at(0x10_0000);
    let writes = (1..=EVENTS).map(|nth| write(nth << 4));
    Scenario::new("storm")
        .with_steps(writes)
        .step(Step::finish(0))
}

/// Nanoseconds of an event that a tool answers.
fn echoed(host: &Arc<Host>) -> Result<f64> {
    let (running, mut peer) = hooked(host, &storm(), true)?;
    let on = ControlEvents {
        event: EventKind::Msr,
        enable: true,
    };
    let number = ControlMsr {
        msr: msr::LSTAR,
        enable: true,
    };
    let switches = [VcpuCall::ControlEvents(on), VcpuCall::ControlMsr(number)];
    for call in switches {
        let request = peer.vcpu(0, call);
        peer.exchange(&request)?;
    }
    running.handle().resume(0)?;
    let echo = thread::spawn(move || while peer.echo().is_ok() {});
    let started = Instant::now();
    let outcome = running.wait();
    let took = started.elapsed();
    drop(echo.join());
    per_event(took, outcome.events)
}

/// Nanoseconds of an event that a policy judges, on the same path.
fn judged(host: &Arc<Host>) -> Result<f64> {
    let parts = storm().build(Arc::new(Kept::default()))?;
    let running = Engine::new(host.clone(), parts)
        .judge(policy(host)?)
        .start()?;
    let started = Instant::now();
    let outcome = running.wait();
    per_event(started.elapsed(), outcome.events)
}

fn per_event(took: Duration, events: u64) -> Result<f64> {
    let events = u32::try_from(events)?;
    Ok(took.as_secs_f64() * 1e9 / f64::from(events.max(1)))
}

/// A guest with a tool, perhaps held until it is resumed.
fn hooked(host: &Arc<Host>, guest: &Scenario, held: bool) -> Result<(Running, Peer)> {
    let parts = guest.build(Arc::new(Kept::default()))?;
    let settings = oriel_engine::Settings {
        held,
        ..Default::default()
    };
    let patient = tool::Settings {
        pause_limit: Duration::from_secs(3600),
        ..Default::default()
    };
    let running = Engine::new(host.clone(), parts)
        .settings(settings)
        .judge(tool::candidate("tool", patient))
        .start()?;
    let (theirs, mine) = UnixStream::pair()?;
    let port = running.handle().tool("tool").context("its place")?;
    port.hook(theirs.into(), |_| ())?;
    Ok((running, Peer::new(mine)))
}

fn policy(host: &Arc<Host>) -> Result<Candidate> {
    let plugin = host.load("bench", &component::component()?)?;
    let terms = Terms {
        name: "bench".to_owned(),
        events: plugin.inspection().hears,
        ..Terms::default()
    };
    let policy = Arc::new(host.prepare(&plugin, terms)?);
    Ok(policies::candidate(
        host,
        &policy,
        Arc::new(Store::default()),
    ))
}
