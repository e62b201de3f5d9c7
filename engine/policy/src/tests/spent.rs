//! What events use up, where the host counts it.

use super::*;
use crate::Spent;

/// Judges so many events in a host of these settings; answers with what they used up.
fn spent(guest: &Guest, count_fuel: bool, events: u64) -> Spent {
    let settings = HostSettings {
        pool: 2,
        count_fuel,
        ..HostSettings::default()
    };
    let host = Host::new(settings).unwrap();
    let plugin = host.load("guest", &guest.build()).unwrap();
    let policy = host.prepare(&plugin, all()).unwrap();
    let slot = host.slot();
    let mut instance = policy
        .instantiate(Place::Vm, &slot, FakeDesk::new())
        .0
        .unwrap();
    let event = msr();
    for _ in 0..events {
        instance
            .judge(&case(&event), &slot, FakeDesk::new())
            .0
            .unwrap();
    }
    policy.spent()
}

#[test]
fn instructions_of_events_are_counted_and_those_of_init_are_not() {
    let guest = Guest::judging(["msr"]).pages(3);
    let one = spent(&guest, true, 1);
    assert!(one.instructions > 0);
    let three = spent(&guest, true, 3);
    assert_eq!(
        (three.events, three.instructions),
        (3, 3 * one.instructions)
    );
    assert_eq!((three.host_calls, three.memory), (0, 3 << 16));
}

#[test]
fn nothing_is_counted_unless_the_host_is_told_to() {
    assert_eq!(spent(&Guest::judging(["msr"]), false, 3), Spent::default());
}
