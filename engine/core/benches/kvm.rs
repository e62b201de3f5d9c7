//! What introspection adds to an exit of a real guest, in one run:
//! `cargo bench -p oriel-engine --bench kvm`. Skipped loudly without KVM.
//!
//! Exits: two guests in 16 bits, one of which writes LSTAR for ever, the other a port that no device
//! has. Cycles: a guest in 64 bits that stores to one page for ever, broken into at the store, or
//! with the page trapped. Each way runs on a VM of its own, in turn with the others, and is compared by its
//! quickest round, because machines are noisy.
//!
//! The bare loops make the same ioctls: an MSR exit takes `KVM_RUN` and `KVM_SET_MSRS`, a port exit
//! `KVM_RUN`, and who judges an MSR has `KVM_RUN` bring the registers, so what it is measured by does too; a breakpoint two `KVM_RUN`, with `KVM_SET_GUEST_DEBUG` before each; a trapped store
//! `KVM_RUN`, after which the VMM stores. Costs of setting and clearing have no bare twin but for
//! pages, which are one `mprotect` each.

#[path = "event_path/guest.rs"]
mod component;
#[path = "kvm/costs.rs"]
mod costs;
#[path = "kvm/cycles.rs"]
mod cycles;
#[path = "kvm/long_mode.rs"]
mod long_mode;
#[path = "kvm/vmm.rs"]
mod vmm;

use std::{sync::Arc, time::Instant};

use anyhow::Result;
use oriel_engine::{Candidate, Desk, Judge, Native, policies};
use oriel_machine::Wants;
use oriel_policy::{Host, HostSettings, Store, Terms};
use oriel_protocol::{
    Case, EventKind, EventSet, Filter, Grant, Verdict, commands::vcpu::GetGeneral,
};
use vmm::{Count, MSRS, PORTS, Vmm};

/// Many short ones: where something else runs now and then, one of them is left alone. With 8 of 4,000 exits the rows were off
/// by two parts in a hundred, with these by four in a thousand.
const ROUNDS: u32 = 100;
const EXITS: u32 = 1_000;

fn main() -> Result<()> {
    if let Err(why) = oriel_machine::kvm::is_usable() {
        eprintln!("SKIPPED: {why}");
        return Ok(());
    }
    let host = Arc::new(Host::new(HostSettings::default())?);
    println!("quickest of {ROUNDS} rounds");
    exits(&host)?;
    cycles::all(&host)?;
    costs::all(&host)
}

fn exits(host: &Arc<Host>) -> Result<()> {
    let wasm = policy(host, &component::component()?)?;
    let mut bare_port = Vmm::new(PORTS)?;
    let mut bare_msr = Vmm::new(MSRS)?.armed(&msr_writes())?;
    let mut nobody = Vmm::new(PORTS)?.under(host, None)?;
    let mut asking = Vmm::new(MSRS)?.armed(&msr_writes())?.asking();
    let mut native = Vmm::new(MSRS)?.under(host, Some(judge(&[EventKind::Msr], |_, _| {})))?;
    let mut policy = Vmm::new(MSRS)?.under(host, Some(wasm))?;
    let mut reader = Vmm::new(MSRS)?.under(host, Some(judge(&[EventKind::Msr], read)))?;
    let mut best = [f64::MAX; 7];
    for _ in 0..ROUNDS {
        let mut take = |at: usize, us: f64| best[at] = best[at].min(us);
        take(0, time(EXITS, || bare_port.bare(EXITS))?);
        take(1, time(EXITS, || nobody.judged(EXITS, Count::Exits))?);
        take(2, time(EXITS, || bare_msr.bare(EXITS))?);
        take(3, time(EXITS, || native.judged(EXITS, Count::Exits))?);
        take(4, time(EXITS, || policy.judged(EXITS, Count::Exits))?);
        take(5, time(EXITS, || reader.judged(EXITS, Count::Exits))?);
        take(6, time(EXITS, || asking.bare(EXITS))?);
    }
    let [port, nobody, msr, native, policy, reader, asking] = best;
    row("a port, bare", port, None);
    row("a port, through Oriel, nobody listens", nobody, Some(port));
    row("an MSR, bare", msr, None);
    row("an MSR, bare, with the registers", asking, Some(msr));
    row("an MSR, one native judge", native, Some(asking));
    row("an MSR, one policy", policy, Some(asking));
    row("an MSR, a judge that reads registers", reader, Some(asking));
    Ok(())
}

/// Microseconds of one exit or cycle.
fn time(count: u32, run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// A line of the table, for what happens again and again.
fn row(what: &str, us: f64, bare: Option<f64>) {
    let of_bare = bare.map_or_else(String::new, |bare| format!("{:6.3} of bare", bare / us));
    println!("{what:<48} {us:10.2} µs {:10.0}/s {of_bare}", 1e6 / us);
}

fn msr_writes() -> Wants {
    Wants {
        events: [EventKind::Msr].into_iter().collect(),
        msr_writes: oriel_machine::Ranges::all(),
        ..Wants::default()
    }
}

fn read(_: &Case<'_>, desk: &mut Desk) {
    let vcpu = desk.index();
    let general = desk.on(vcpu, GetGeneral {});
    assert!(std::hint::black_box(general).is_ok());
}

/// A native judge of these kinds, which does this at each event.
fn judge(
    kinds: &[EventKind],
    act: impl Fn(&Case<'_>, &mut Desk) + Clone + Send + Sync + 'static,
) -> Candidate {
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: EventSet::all(),
        filters: kinds.iter().map(|&kind| Filter::any(kind)).collect(),
        observations: vec![],
        store: Arc::new(Store::default()),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(move |_, _| -> Box<dyn Judge> {
            let act = act.clone();
            Box::new(Native(move |case: &Case<'_>, desk: &mut Desk| {
                act(case, desk);
                Verdict::Continue
            }))
        }),
    }
}

fn policy(host: &Arc<Host>, component: &[u8]) -> Result<Candidate> {
    let plugin = host.load("policy", component)?;
    let terms = Terms {
        name: "policy".to_owned(),
        events: plugin.inspection().hears,
        ..Terms::default()
    };
    let policy = Arc::new(host.prepare(&plugin, terms)?);
    Ok(policies::candidate(host, &policy, Arc::default()))
}
