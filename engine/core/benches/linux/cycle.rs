//! A breakpoint that is met again and again: through Oriel, and by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Sender},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use oriel_engine::{Candidate, Desk, Engine, Judge, Native};
use oriel_guests::qemu::Running;
use oriel_machine::qemu::Leave;
use oriel_policy::{Host, HostSettings};
use oriel_protocol::{
    Case, EventKind, EventSet, Filter, Grant, Verdict,
    commands::vcpu::{GetGeneral, Place, SetBreakpoint},
};

use super::{attach, raw::Raw};

const ROUNDS: usize = 5;
const CYCLES: u32 = 200;
/// Cycles before those that are counted.
const FIRST: u32 = 20;
const LIMIT: Duration = Duration::from_secs(60);

type Act = fn(&Case<'_>, &mut Desk);

/// Measures all of it; at `place` is a function that the system call `read` begins with.
pub(crate) fn all(guest: &mut Running, place: u64) -> Result<()> {
    guest.ask("(dd if=/dev/zero of=/dev/null bs=1 2>/dev/null &)")?;
    let host = Arc::new(Host::new(HostSettings::default())?);
    let ways: [(&str, Option<Act>); 3] = [
        ("a breakpoint by hand, with registers", None),
        ("the same, one native judge", Some(|_, _| {})),
        ("the same, which reads registers", Some(read)),
    ];
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for ((_, act), best) in ways.iter().zip(&mut best) {
            let took = match act {
                None => by_hand(guest, place)?,
                Some(act) => judged(guest, &host, place, *act)?,
            };
            *best = took.min(*best);
        }
    }
    println!("a cycle of a breakpoint; quickest of {ROUNDS} rounds of {CYCLES} each");
    for ((what, _), took) in ways.iter().zip(best) {
        row(what, took, best[0]);
    }
    Ok(())
}

fn row(what: &str, took: Duration, raw: Duration) {
    let ratio = raw.as_secs_f64() / took.as_secs_f64();
    let met = if ratio >= 0.9 { "met" } else { "MISSED" };
    println!(
        "{what:<48} {:>12}   {ratio:.3} of raw, goal ≥ 0.9 ({met})",
        format!("{took:.3?}")
    );
}

fn by_hand(guest: &Running, place: u64) -> Result<Duration> {
    let mut raw = Raw::connect(&guest.gdb(), place)?;
    let took = raw.cycles(FIRST, CYCLES)?;
    raw.leave(place)?;
    Ok(took)
}

fn judged(guest: &Running, host: &Arc<Host>, place: u64, act: Act) -> Result<Duration> {
    let attached = attach(guest)?;
    let (sender, moments) = mpsc::channel();
    let running = Engine::new(host.clone(), attached.parts)
        .judge(judge(act, sender))
        .start()?;
    let place = Place::Gva(place);
    let set = SetBreakpoint { tag: 0, place };
    let placed = running.handle().run(0, 0, set, LIMIT);
    placed.map_err(|refusal| anyhow!("a breakpoint: {refusal}"))?;
    let from = moments.recv_timeout(LIMIT)?;
    let took = moments.recv_timeout(LIMIT)? - from;
    running.handle().stop();
    running.wait();
    attached
        .machine
        .leave(Leave::Running)
        .map_err(anyhow::Error::msg)?;
    Ok(took / CYCLES)
}

fn read(case: &Case<'_>, desk: &mut Desk) {
    let general = desk.on(case.moment.vcpu, GetGeneral {});
    assert!(general.is_ok_and(|general| general.rip == case.event.ip));
}

/// A native judge that does this, and tells when the first and the last event were.
fn judge(act: Act, moments: Sender<Instant>) -> Candidate {
    let seen = Arc::new(AtomicU32::new(0));
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: EventSet::all(),
        filters: vec![Filter::any(EventKind::Breakpoint)],
        observations: vec![],
        store: Arc::default(),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(move |_, _| -> Box<dyn Judge> {
            let (seen, moments) = (Arc::clone(&seen), moments.clone());
            Box::new(Native(move |case: &Case<'_>, desk: &mut Desk| {
                let number = seen.fetch_add(1, Ordering::Relaxed);
                if number == FIRST || number == FIRST + CYCLES {
                    // Nobody waits for more than the two.
                    let _ = moments.send(Instant::now());
                }
                act(case, desk);
                Verdict::Continue
            }))
        }),
    }
}
