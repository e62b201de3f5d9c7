//! Many swaps under full load.

use oriel_engine::roster::SwapOptions;
use oriel_tests::host;

use super::{Stage, carried, endless, guard};
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
