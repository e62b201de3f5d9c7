use super::*;

#[test]
fn the_shortest_limit_is_minded_as_long_as_its_policy_lives() {
    let watchdog = Arc::new(Watchdog::start(|| {}).unwrap());
    assert_eq!(watchdog.shared.shortest(), None, "nobody to watch");
    let (long, short) = (Duration::from_secs(2), Duration::from_secs(1));
    let minding = [
        watchdog.mind(long),
        watchdog.mind(short),
        watchdog.mind(short),
    ];
    assert_eq!(watchdog.shared.shortest(), Some(short));
    let [first, second, third] = minding;
    drop(second);
    assert_eq!(
        watchdog.shared.shortest(),
        Some(short),
        "the other one is still there"
    );
    drop(third);
    assert_eq!(watchdog.shared.shortest(), Some(long));
    drop(first);
    assert_eq!(watchdog.shared.shortest(), None);
}

#[test]
fn a_call_wakes_a_dozing_watchdog_and_no_other() {
    let bell = Bell::default();
    bell.ring_if_dozing();
    assert!(!bell.dozing.load(Ordering::Relaxed));
    bell.dozing.store(true, Ordering::Relaxed);
    bell.ring_if_dozing();
    assert!(!bell.dozing.load(Ordering::Relaxed), "rung once");
}

#[test]
fn a_slot_that_is_gone_is_forgotten() {
    let watchdog = Watchdog::start(|| {}).unwrap();
    let (first, second) = (watchdog.slot(), watchdog.slot());
    drop(first);
    watchdog.shared.look(&|| {});
    assert_eq!(lock(&watchdog.shared.slots).len(), 1);
    drop(second);
}
