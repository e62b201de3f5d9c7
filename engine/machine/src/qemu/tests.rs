//! Whole machines against a QEMU that is made up: a stub, a monitor and a little memory.

mod ends;
mod events;
mod fake;
mod look;
mod state;

use std::{sync::Arc, thread};

use oriel_protocol::{EventKind, EventSet, Verdict};

use self::fake::{Act, CODE, CODE_GPA, Fake};
use super::{Attached, RamChoice};
use crate::{End, Exit, Machine, Vcpu, Wants};

/// What a judge of one breakpoint wants.
fn wants(breakpoints: &[u64]) -> Wants {
    Wants {
        events: EventSet::from_iter([EventKind::Breakpoint]),
        breakpoints: breakpoints.iter().copied().collect(),
        ..Wants::default()
    }
}

/// Attaches, arms the breakpoints at these offsets of the code, and has these acts played.
fn attached(fake: &Fake, breakpoints: &[u64]) -> Attached {
    let attached = fake.attach(RamChoice::Gdb).connect().unwrap();
    let gpas: Vec<_> = breakpoints.iter().map(|at| CODE_GPA + at).collect();
    attached.machine.arm(&wants(&gpas)).unwrap();
    fake.begin();
    attached
}

/// What each vCPU's thread has seen until the end, given the verdicts of `judge`.
fn run(
    vcpus: Vec<Box<dyn Vcpu>>,
    judge: impl Fn(&mut dyn Vcpu, &Exit) -> Verdict + Send + Sync + 'static,
) -> Vec<(Vec<Exit>, End)> {
    let judge = Arc::new(judge);
    let threads: Vec<_> = vcpus
        .into_iter()
        .map(|vcpu| {
            let judge = Arc::clone(&judge);
            thread::spawn(move || until_the_end(vcpu, &*judge))
        })
        .collect();
    let join = |thread: thread::JoinHandle<_>| thread.join().unwrap();
    threads.into_iter().map(join).collect()
}

fn until_the_end(
    mut vcpu: Box<dyn Vcpu>,
    judge: &dyn Fn(&mut dyn Vcpu, &Exit) -> Verdict,
) -> (Vec<Exit>, End) {
    let (mut seen, mut verdict) = (Vec::new(), Verdict::Continue);
    loop {
        vcpu.acknowledge_kick();
        match vcpu.enter(verdict).unwrap() {
            Exit::Ended(end) => return (seen, end),
            exit @ (Exit::Event(_) | Exit::Kicked) => {
                verdict = judge(&mut *vcpu, &exit);
                seen.push(exit);
            }
        }
    }
}

/// Goes on whatever happens.
fn go_on(_: &mut dyn Vcpu, _: &Exit) -> Verdict {
    Verdict::Continue
}

/// The addresses at which events were, of one vCPU.
fn ips(seen: &[Exit]) -> Vec<u64> {
    let ip = |exit: &Exit| match exit {
        Exit::Event(event) => Some(event.ip),
        Exit::Kicked | Exit::Ended(_) => None,
    };
    seen.iter().filter_map(ip).collect()
}

/// A guest that shuts down behind these acts.
fn then_the_end(acts: &[Act]) -> Vec<Act> {
    acts.iter().copied().chain([Act::ShutDown]).collect()
}

/// An address of the code.
const fn code(offset: u64) -> u64 {
    CODE + offset
}
