//! What introspection adds to an exit of a real guest, in one run:
//! `cargo bench -p oriel-engine --bench kvm`. Skipped loudly without KVM.
//!
//! Two guests, in 16 bits: one writes LSTAR for ever, one a port that no device has. Each way runs
//! them on a VM of its own, in turn with the others, and is compared by its quickest round, because
//! machines are noisy. The bare loops make the same ioctls: an MSR exit takes `KVM_RUN` and
//! `KVM_SET_MSRS`, a port exit `KVM_RUN`.

#[path = "event_path/guest.rs"]
mod component;
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
use vmm::{MSRS, PORTS, Vmm};

const ROUNDS: u32 = 8;
const EXITS: u32 = 4_000;

fn main() -> Result<()> {
    if let Err(why) = oriel_machine::kvm::is_usable() {
        eprintln!("SKIPPED: {why}");
        return Ok(());
    }
    let host = Arc::new(Host::new(HostSettings::default())?);
    let wasm = policy(&host, &component::component()?)?;
    let mut bare_port = Vmm::new(PORTS)?;
    let mut bare_msr = Vmm::new(MSRS)?.armed(&msr_writes())?;
    let mut nobody = Vmm::new(PORTS)?.under(&host, None)?;
    let mut native = Vmm::new(MSRS)?.under(&host, Some(judge(|_| {})))?;
    let mut policy = Vmm::new(MSRS)?.under(&host, Some(wasm))?;
    let mut reader = Vmm::new(MSRS)?.under(&host, Some(judge(read)))?;
    let mut best = [f64::MAX; 6];
    for _ in 0..ROUNDS {
        let mut take = |at: usize, us: f64| best[at] = best[at].min(us);
        take(0, time(EXITS, || bare_port.bare(EXITS))?);
        take(1, time(EXITS, || nobody.judged(EXITS))?);
        take(2, time(EXITS, || bare_msr.bare(EXITS))?);
        take(3, time(EXITS, || native.judged(EXITS))?);
        take(4, time(EXITS, || policy.judged(EXITS))?);
        take(5, time(EXITS, || reader.judged(EXITS))?);
    }
    let [port, nobody, msr, native, policy, reader] = best;
    row("a port, bare", port, None);
    row("a port, through Oriel, nobody listens", nobody, Some(port));
    row("an MSR, bare", msr, None);
    row("an MSR, one native judge", native, Some(msr));
    row("an MSR, one policy", policy, Some(msr));
    row("an MSR, a judge that reads registers", reader, Some(msr));
    Ok(())
}

/// Microseconds of one exit.
fn time(exits: u32, run: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(exits))
}

fn row(what: &str, us: f64, bare: Option<f64>) {
    let exits = 1e6 / us;
    match bare {
        None => println!("{what:<40} {us:8.2} µs {exits:10.0} exits/s"),
        Some(bare) => println!(
            "{what:<40} {us:8.2} µs {exits:10.0} exits/s {:6.3} of bare",
            bare / us
        ),
    }
}

fn msr_writes() -> Wants {
    Wants {
        events: [EventKind::Msr].into_iter().collect(),
        msr_writes: oriel_machine::Ranges::all(),
        ..Wants::default()
    }
}

fn read(desk: &mut Desk) {
    let vcpu = desk.index();
    let general = desk.on(vcpu, GetGeneral {});
    assert!(std::hint::black_box(general).is_ok());
}

fn judge(act: fn(&mut Desk)) -> Candidate {
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: EventSet::all(),
        filters: vec![Filter::any(EventKind::Msr)],
        observations: vec![],
        store: Arc::new(Store::default()),
        tick: None,
        tool: None,
        make: Box::new(move |_, _| -> Box<dyn Judge> {
            Box::new(Native(move |_: &Case<'_>, desk: &mut Desk| {
                act(desk);
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
