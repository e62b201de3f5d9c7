//! Many swaps under full load.

use oriel_engine::roster::SwapOptions;
use oriel_machine::mock::{Scenario, Step};
use oriel_protocol::x86::msr;
use oriel_tests::host;

use super::{Seen, Stage, carried, endless, guard};
use crate::kvm;

/// Swaps a policy so often, while two vCPUs go on.
fn storm(stage: Stage, swaps: u64) {
    stage.watch.more_events(10);
    for number in 2..swaps + 2 {
        let swapped = stage
            .roster()
            .swap(guard().candidate(&host()), &SwapOptions::default());
        let swapped = swapped.expect("a policy that can be swapped");
        assert_eq!((swapped.from, swapped.to), (number - 1, number));
        assert_eq!(swapped.fresh, Vec::<String>::new());
    }
    stage.watch.more_events(10);
    let seen = stage.end();
    for (vcpu, (_, revision)) in &seen.last {
        assert_eq!(*revision, swaps + 1, "vCPU {vcpu}");
    }
    let carried = carried(&seen);
    assert_eq!(carried.len() as u64, 2 * swaps, "each vCPU, each time");
    for (counted, events) in carried {
        assert_eq!(counted, events, "no event is missing in what is carried");
    }
}

#[test]
fn a_thousand_swaps_lose_no_event_and_no_state() {
    storm(
        Stage::with(endless, vec![guard().candidate(&host())]),
        1_000,
    );
}

#[test]
fn a_thousand_swaps_on_kvm_lose_no_event_and_no_state() {
    if !kvm::kvm() {
        return;
    }
    let storm_guest = |outlet| kvm::parts(oriel_guests::storm(2, u32::MAX), outlet);
    storm(
        Stage::with(storm_guest, vec![guard().candidate(&host())]),
        1_000,
    );
}

/// Swaps a policy until the guest has ended; answers how often.
fn swap_to_the_end(stage: Stage) -> (u64, Seen) {
    let (roster, mut swaps) = (stage.roster(), 0);
    let swapping = std::thread::spawn(move || {
        loop {
            match roster.swap(guard().candidate(&host()), &SwapOptions::default()) {
                Ok(_) => swaps += 1,
                Err(_) => return swaps,
            }
        }
    });
    let Stage { running, watch } = stage;
    running.wait();
    let swaps = swapping.join().expect("no panic");
    let seen = std::mem::take(&mut *watch.seen());
    assert_eq!(seen.wrong, Vec::<String>::new());
    (swaps, seen)
}

fn nothing_goes_by(stage: Stage, writes: u64) {
    let (swaps, seen) = swap_to_the_end(stage);
    assert!(swaps > 0, "it takes long enough for a swap");
    let events: Vec<_> = seen.last.values().map(|(seq, _)| *seq).collect();
    assert_eq!(events, [writes, writes], "each write is judged once");
}

#[test]
fn no_write_goes_by_unjudged_while_a_policy_is_swapped() {
    const WRITES: u64 = 50_000;
    let write = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu).times(WRITES);
    let ends = |outlet| {
        let scenario = Scenario::new("ends").vcpus(2).step(write(0)).step(write(1));
        let scenario = scenario.step(Step::signal("done").on(1));
        let scenario = scenario.step(Step::wait_for("done").on(0));
        let scenario = scenario.step(Step::finish(0).on(0));
        scenario.build(outlet).expect("well formed")
    };
    nothing_goes_by(Stage::with(ends, vec![guard().candidate(&host())]), WRITES);
}

#[test]
fn no_write_goes_by_unjudged_on_kvm_while_a_policy_is_swapped() {
    if !kvm::kvm() {
        return;
    }
    let guest = |outlet| kvm::parts(oriel_guests::storm(2, 20_000), outlet);
    nothing_goes_by(Stage::with(guest, vec![guard().candidate(&host())]), 20_000);
}
