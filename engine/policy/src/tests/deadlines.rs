//! What does not come to an end is stopped, and nobody else is. No test here asserts how long
//! anything takes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use oriel_protocol::Verdict;

use super::{
    guest::{ANSWER, LOOP},
    *,
};
use crate::Failure;

const SHORT: Duration = Duration::from_millis(5);

fn short(limits: impl FnOnce(&mut Limits)) -> Terms {
    let mut terms = all();
    limits(&mut terms.limits);
    terms
}

fn begun(guest: &Guest, terms: Terms) -> (Instance, Arc<Slot>) {
    let slot = HOST.slot();
    let policy = prepare(guest, terms).unwrap();
    let (instance, _) = policy.instantiate(Place::Vcpu(0), &slot, FakeDesk::new());
    (instance.unwrap(), slot)
}

fn overdue(failure: &Failure) -> bool {
    matches!(failure, Failure::Overdue { cpu_ns, limit, .. } if Duration::from_nanos(*cpu_ns) >= *limit)
}

#[test]
fn a_judge_that_loops_is_stopped_and_its_neighbours_are_not() {
    let stopped = Arc::new(AtomicBool::new(false));
    let neighbour = {
        let stopped = Arc::clone(&stopped);
        thread::spawn(move || {
            let (mut guard, slot) = instance(&Guest::judging(["msr"]));
            let event = msr();
            while !stopped.load(Ordering::Acquire) {
                let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
                assert_eq!(verdict, Ok(Verdict::Continue));
            }
        })
    };
    let guest = Guest::judging(["msr"]).with("judge-msr", "judge", LOOP);
    let (mut policy, slot) = begun(&guest, short(|limits| limits.event = SHORT));
    let event = msr();
    let (verdict, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
    stopped.store(true, Ordering::Release);
    let failure = verdict.unwrap_err();
    assert!(overdue(&failure) && failure.is_strike(), "{failure:?}");
    let looped = |frame: &String| frame.contains("judge-msr#judge");
    assert!(failure.trace().iter().any(looped), "{failure:?}");
    assert!(policy.is_dead());
    FakeDesk::back(desk);
    neighbour.join().unwrap();
}

#[test]
fn an_init_that_loops_is_stopped_in_the_probe() {
    for guest in [
        Guest::judging(["msr"]).with("lifecycle", "init", LOOP),
        Guest::judging(["msr"]).with("judge-msr", "filters", LOOP),
        Guest::judging(["msr"]).raw(&format!("(func $begin {LOOP}) (start $begin)")),
    ] {
        let error = prepare(&guest, short(|limits| limits.init = SHORT)).unwrap_err();
        let PrepareError::Probe(failure) = &error else {
            panic!("{error}");
        };
        assert!(overdue(failure), "{failure:?}");
    }
}

#[test]
fn every_other_call_that_loops_is_stopped_too() {
    let guest = Guest::new()
        .exporting("tick")
        .exporting("state")
        .exporting("notice-unhook")
        .exporting("observe")
        .with("tick", "tick", LOOP)
        .with("state", "save", LOOP)
        .with("state", "restore", LOOP)
        .with("notice-unhook", "unhooking", LOOP)
        .with("observe", "observe", LOOP);
    let terms = short(|limits| {
        (limits.event, limits.init) = (SHORT, SHORT);
        (limits.tick, limits.state) = (SHORT, SHORT);
    });
    let policy = prepare(&guest, terms).unwrap();
    let slot = HOST.slot();
    let event = msr();
    let at = case(&event).moment;
    type Call<'a> = &'a dyn Fn(&mut Instance) -> Option<Failure>;
    let calls: [Call<'_>; 5] = [
        &|policy| policy.tick(0, 0, &slot, FakeDesk::new()).0.err(),
        &|policy| policy.save(&slot, FakeDesk::new()).0.err(),
        &|policy| {
            policy
                .restore(crate::Saved::default(), 0, &slot, FakeDesk::new())
                .0
                .err()
        },
        &|policy| {
            policy
                .notice(
                    oriel_protocol::EventKind::Unhook,
                    at,
                    &slot,
                    FakeDesk::new(),
                )
                .0
                .err()
        },
        &|policy| {
            policy
                .observe(&case(&event), &slot, FakeDesk::new())
                .0
                .err()
        },
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let mut instance = policy
            .instantiate(Place::Vm, &slot, FakeDesk::new())
            .0
            .unwrap();
        let failure = call(&mut instance).expect("stopped");
        assert!(
            overdue(&failure) && instance.is_dead(),
            "{number}: {failure:?}"
        );
    }
}

#[test]
fn waiting_is_no_strike_and_comes_to_an_end() {
    // Asks again and again; each answer takes longer than the whole deadline.
    let body = format!("(loop $again (call $control.resume (i32.const {ANSWER})) (br $again))");
    let guest =
        Guest::judging(["msr"])
            .importing("control", "resume")
            .with("judge-msr", "judge", &body);
    let terms = short(|limits| {
        limits.event = SHORT;
        limits.wall_factor = 4;
        limits.commands = u32::MAX;
    });
    let (mut policy, slot) = begun(&guest, terms);
    let mut desk = FakeDesk::new();
    desk.delay = Some(2 * SHORT);
    let event = msr();
    let (verdict, _) = policy.judge(&case(&event), &slot, desk);
    let failure = verdict.unwrap_err();
    assert_eq!(failure, Failure::Stalled { bound: 4 * SHORT });
    assert!(!failure.is_strike() && policy.is_dead());
}

#[test]
fn the_judges_of_one_event_share_its_time() {
    let guest = Guest::judging(["msr"]).with("judge-msr", "judge", LOOP);
    let long = || short(|limits| limits.event = Duration::from_secs(3600));
    let (mut first, slot) = begun(&guest, long());
    let policy = prepare(&Guest::judging(["msr"]), long()).unwrap();
    let mut second = policy
        .instantiate(Place::Vm, &slot, FakeDesk::new())
        .0
        .unwrap();
    let event = msr();
    {
        let _round = slot.round(SHORT);
        let (verdict, _) = first.judge(&case(&event), &slot, FakeDesk::new());
        let failure = verdict.unwrap_err();
        assert!(failure == Failure::RoundOver && !failure.is_strike());
        let (verdict, _) = second.judge(&case(&event), &slot, FakeDesk::new());
        assert_eq!(
            verdict,
            Err(Failure::RoundOver),
            "nothing is left for the next"
        );
        assert!(!second.is_dead());
    }
    let (verdict, _) = second.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(
        verdict,
        Ok(Verdict::Continue),
        "the next event is another round"
    );
}

#[test]
fn a_slot_that_no_watchdog_of_ours_looks_at_is_refused() {
    let other = Host::new(HostSettings {
        pool: 1,
        ..HostSettings::default()
    })
    .unwrap();
    let foreign = other.slot();
    let guest = Guest::judging(["msr"]);
    let (begun, desk) = policy(&guest).instantiate(Place::Vcpu(0), &foreign, FakeDesk::new());
    assert_eq!(begun.err(), Some(Failure::Foreign));
    let (mut guard, slot) = instance(&guest);
    let event = msr();
    let (verdict, desk) = guard.judge(&case(&event), &foreign, desk);
    assert_eq!(verdict, Err(Failure::Foreign));
    let (verdict, _) = guard.judge(&case(&event), &slot, desk);
    assert_eq!(
        verdict,
        Ok(Verdict::Continue),
        "it is none the worse for it"
    );
}
