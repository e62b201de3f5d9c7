use super::*;

const LIMIT: Allowance = Allowance {
    cpu_ns: 10_000_000,
    wall_ns: 200_000_000,
};

fn slot() -> Slot {
    Slot::new(Arc::default())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_turn_that_lasts_for_its_limit_is_overdue() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    let _turn = slot.enter(LIMIT).unwrap();
    for (at, overdue) in [(0, false), (9, false), (10, true), (12, true)] {
        let look = slot.look(&mut sights, start + ms(at));
        assert!(look.moves);
        assert_eq!(look.overdue, overdue, "after {at} ms");
    }
}

#[test]
fn many_short_turns_are_never_overdue() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    for at in 0..100 {
        let _turn = slot.enter(LIMIT).unwrap();
        let look = slot.look(&mut sights, start + ms(9 * at));
        assert!(look.moves && !look.overdue);
    }
}

#[test]
fn between_turns_nothing_is_overdue() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    drop(slot.enter(LIMIT).unwrap());
    assert!(slot.look(&mut sights, start).moves, "something has passed");
    let later = slot.look(&mut sights, start + ms(1000));
    assert!(!later.moves && !later.overdue);
}

#[test]
fn only_a_turn_that_was_found_overdue_looks_at_its_clock() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    let turn = slot.enter(LIMIT).unwrap();
    assert_eq!(slot.pulse(LIMIT), Pulse::GoOn, "somebody else is overdue");
    slot.look(&mut sights, start);
    slot.look(&mut sights, start + ms(10));
    assert_eq!(
        slot.pulse(LIMIT),
        Pulse::GoOn,
        "it has only now begun to measure itself"
    );
    let nothing = Allowance { cpu_ns: 0, ..LIMIT };
    assert!(matches!(slot.pulse(nothing), Pulse::Overdue { .. }));
    drop(turn);
    let _next = slot.enter(LIMIT).unwrap();
    assert_eq!(slot.pulse(nothing), Pulse::GoOn, "the next turn is another");
}

#[test]
fn a_turn_that_is_waited_for_too_long_is_stalled() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    let _turn = slot.enter(LIMIT).unwrap();
    slot.look(&mut sights, start);
    slot.look(&mut sights, start + ms(10));
    let at_once = Allowance {
        wall_ns: LIMIT.cpu_ns,
        ..LIMIT
    };
    assert_eq!(slot.pulse(at_once), Pulse::Stalled);
}

#[test]
fn a_round_outlasts_its_turns() {
    let (slot, mut sights, start) = (slot(), Sights::default(), Instant::now());
    let round = slot.round(Duration::ZERO);
    drop(slot.enter(LIMIT).unwrap());
    slot.look(&mut sights, start);
    slot.look(&mut sights, start + ms(1));
    assert_eq!(*slot.enter(LIMIT).unwrap_err(), Failure::RoundOver);
    drop(round);
    slot.enter(LIMIT).expect("another round");
}

#[test]
fn a_slot_is_in_one_turn_at_a_time() {
    let slot = slot();
    let _turn = slot.enter(LIMIT).unwrap();
    assert_eq!(*slot.enter(LIMIT).unwrap_err(), Failure::Nested);
}

#[test]
fn slots_do_not_share_cache_lines() {
    assert_eq!(align_of::<Slot>(), 128);
    assert_eq!(size_of::<Slot>() % 128, 0);
}
