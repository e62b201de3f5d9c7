//! A policy with two bugs (`tests/quota/flawed`) on a real guest with two vCPUs and a shared store:
//! recorded with overdue events and a swap, replayed byte for byte, put right (`mended`), and replayed
//! with exactly those verdicts changed that were wrong.

use oriel_engine::journal::entry::{Said as Told, said};
use oriel_guests::{Guest, RELAY_GATE, relay};
use oriel_machine::Machine;
use oriel_protocol::{EventData, ServiceCall, Value, commands::ServiceReply, events::Msr};

use super::*;

/// Every vCPU counts down from these, one after the other.
const WRITES: [u32; 2] = [400, 300];
/// So many writes are free, of both vCPUs together: those of the first values.
const LIMIT: u64 = 10;
/// What the flawed policy takes for the kernel's own, since it looks at one byte only; at the first of
/// them it never ends.
const MISTAKEN: std::ops::RangeInclusive<u64> = 256..=271;
/// Of two vCPUs, in two storms.
const MISTAKES: usize = 4 * 16;

fn quota(name: &'static str, limit: u64) -> Load {
    let mut load = load(name)
        .named("quota")
        .set("limit", Setting::Number(limit));
    load.limits.event = Duration::from_millis(5);
    load.limits.wall_factor = 10_000;
    load
}

/// The machine of a VM, once it is built.
type Machines = mpsc::Receiver<Arc<dyn Machine>>;

/// A guest with a gate in it, and the machine by whose memory it is opened.
fn gated(guest: Guest) -> (impl FnOnce(Arc<dyn Outlet>) -> Parts, Machines) {
    let (send, machine) = mpsc::channel();
    let build = move |outlet| {
        let parts = parts(guest, outlet);
        send.send(parts.machine.clone())
            .expect("somebody waits for it");
        parts
    };
    (build, machine)
}

/// Tells when a vCPU has come to the end of a storm.
fn watcher() -> (Candidate, mpsc::Receiver<u32>) {
    let (send, ended) = mpsc::channel();
    let watcher = native("watcher", &[EventKind::Msr], move |case, _| {
        if low(&case.event.data) == Some(1) {
            // Nobody listens any more in the second storm.
            let _ = send.send(case.moment.vcpu);
        }
        Verdict::Continue
    });
    (watcher, ended)
}

/// The part of the value that counts.
fn low(data: &EventData) -> Option<u64> {
    let EventData::Msr(Msr { new, .. }) = data else {
        return None;
    };
    Some(new & 0xffff)
}

/// Two storms under the flawed policy, with a swap between them.
fn recorded() -> Recording {
    let (watcher, ended) = watcher();
    let (build, machine) = gated(relay(2, WRITES));
    let recorder = Recorder::of(
        build,
        vec![quota("quota-flawed", LIMIT).candidate(&host()), watcher],
    );
    for _ in 0..2 {
        ended
            .recv_timeout(FOREVER)
            .expect("both vCPUs come to the gate");
    }
    let next = quota("quota-flawed", 2 * LIMIT).candidate(&host());
    let vm = recorder.running.handle();
    let swapped = vm.roster().swap(next, &SwapOptions::default());
    assert_eq!(swapped.expect("a swap").to, 2);
    let machine = machine.recv().expect("it was built");
    machine.memory().write_at(RELAY_GATE, &[1]).expect("RAM");
    recorder.end()
}

/// How many writes the store had counted when it was asked.
fn counted(called: &Called) -> Option<u64> {
    said(&called.said).into_iter().find_map(|said| match said {
        Told::Service(ServiceCall::StoreAdd(_), Ok(ServiceReply::StoreAdd(count))) => Some(count),
        Told::Service(..) | Told::Vm(..) | Told::Vcpu(..) => None,
    })
}

/// Where the recorded answer is not the right one, with the right one.
fn wrong(recording: &Recording) -> Vec<(u32, u64, Said)> {
    let wrong = calls(recording).filter_map(|called| {
        let Asked::Judge(seen) = &called.asked else {
            return None;
        };
        let low = low(&seen.event.data).expect("it hears nothing else");
        let EventData::Msr(Msr { old, .. }) = seen.event.data else {
            return None;
        };
        let is_used_up = counted(called).expect("it counts first") > LIMIT;
        let is_wrong =
            is_used_up && low >= 16 && called.outcome.verdict() == Some(&Verdict::Continue);
        let moment = oriel_protocol::Moment::from(called.at);
        let right = Said::Verdict(Verdict::Replace(Value::Word(old)));
        is_wrong.then_some((moment.vcpu, moment.seq, right))
    });
    let mut wrong: Vec<_> = wrong.collect();
    wrong.sort_by_key(|(vcpu, seq, _)| (*vcpu, *seq));
    wrong
}

fn is_overdue(called: &Called) -> bool {
    matches!(
        called.outcome,
        Said::Failed {
            class: Class::Overdue,
            ..
        }
    )
}

#[test]
fn on_kvm_a_policy_put_right_changes_exactly_the_verdicts_that_were_wrong() {
    if !kvm() {
        return;
    }
    let recording = recorded();
    let overdue = calls(&recording)
        .filter(|called| is_overdue(called))
        .count();
    assert_eq!(overdue, 4, "the first mistake of each vCPU in each storm");
    let restored = calls(&recording).filter(|called| matches!(called.asked, Asked::Restore { .. }));
    assert_eq!(restored.count(), 2, "each vCPU has changed its revision");
    assert_eq!(
        recorded_calls(&recording),
        2 * u64::from(WRITES[0] + WRITES[1])
    );

    let flawed = cast(&[("quota", plugin("quota-flawed"))]);
    let tally = repeats(&recording, &flawed);
    assert_eq!(
        (tally.repeated, tally.events),
        (4, recorded_calls(&recording))
    );

    let wrong = wrong(&recording);
    assert_eq!(wrong.len(), MISTAKES);
    let mended = cast(&[("quota", plugin("quota-mended"))]);
    let Replayed {
        tally, mut changed, ..
    } = again(&recording, &mended);
    changed.sort_by_key(|(vcpu, seq, ..)| (*vcpu, *seq));
    let is: Vec<_> = changed
        .into_iter()
        .map(|(vcpu, seq, _, is)| (vcpu, seq, is))
        .collect();
    assert_eq!(is, wrong);
    assert_eq!(
        (tally.unanswered, tally.simulated, tally.restarts),
        (0, 0, 0)
    );
}

#[test]
fn the_flawed_policy_takes_for_the_kernels_what_is_not() {
    // The numbers above are of values, not of luck.
    let mistaken = |writes: u32| (16..=u64::from(writes)).filter(|value| value & 0xff < 16);
    for writes in WRITES {
        assert!(mistaken(writes).eq(MISTAKEN));
        assert!(u64::from(writes) > MISTAKEN.last().expect("some") + LIMIT);
    }
}
