//! What a policy wants to hear and see, and what it is told beside events that it judges.

use oriel_protocol::{EventKind, Only, events::EventClass};

use super::{echo, guest::ANSWER, *};
use crate::Failure;

#[test]
fn no_filters_are_all_that_is_granted() {
    let all_kinds = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    let guest = all_kinds.clone().fold(Guest::new(), |guest, kind| {
        guest.exporting(&format!("judge-{}", kind.name()))
    });
    let policy = policy(&guest);
    assert_eq!(policy.filters().len(), all_kinds.count());
    for (event, _) in echo::events() {
        let meant = policy
            .filters()
            .iter()
            .filter(|filter| filter.accepts(&event, Some(1)));
        assert_eq!(meant.count(), 1, "{}", event.kind().name());
    }
}

#[test]
fn filters_mean_what_they_say() {
    // One filter of MSRs, at 4096: 0x10 to 0x20, at ring 3, with this CR3.
    let filters = format!(
        "(i32.store (i32.const 4096) (i32.const 0x10)) (i32.store (i32.const 4100) (i32.const 0x20))
         (i32.store8 (i32.const 4104) (i32.const 1)) (i64.store (i32.const 4112) (i64.const 0x7000))
         (i32.store8 (i32.const 4120) (i32.const 8))
         (i32.store (i32.const {ANSWER}) (i32.const 4096)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 1))"
    );
    let policy = policy(&Guest::judging(["msr"]).with("judge-msr", "filters", &filters));
    let [filter] = policy.filters() else {
        panic!("{:?}", policy.filters());
    };
    assert_eq!(
        filter.only,
        Only::Numbers {
            first: 0x10,
            last: 0x20
        }
    );
    assert_eq!(filter.scope.cr3, Some(0x7000));
    assert_eq!(filter.scope.rings, oriel_protocol::Rings::RING3);
}

#[test]
fn notices_ticks_and_observations_are_told() {
    let guest = [
        "notice-create-vcpu",
        "notice-pause",
        "notice-unhook",
        "tick",
        "observe",
    ]
    .into_iter()
    .fold(Guest::new().importing("metrics", "add"), Guest::exporting)
    .with("notice-create-vcpu", "created", &echo::repeat(&["i32"; 1]))
    .with("notice-pause", "paused", &echo::repeat(&["i32"; 1]))
    .with(
        "notice-unhook",
        "unhooking",
        "(call $metrics.add (i32.const 0) (i32.const 0) (i64.const 13))",
    )
    .with("tick", "tick", &echo::repeat(&["i64", "i32"]));
    let (mut policy, slot) = instance(&guest);
    let at = Moment {
        vcpu: 4,
        seq: 0,
        time_ns: 0,
    };
    for (kind, told) in [
        (EventKind::CreateVcpu, 4),
        (EventKind::Pause, 4),
        (EventKind::Unhook, 13),
    ] {
        let (answer, desk) = policy.notice(kind, at, &slot, FakeDesk::new());
        assert_eq!(answer, Ok(()));
        assert_eq!(echo::heard(&FakeDesk::back(desk)), [told]);
    }
    let (answer, _) = policy.notice(EventKind::Msr, at, &slot, FakeDesk::new());
    assert_eq!(answer, Err(Failure::Unheard("msr")));
    let (answer, desk) = policy.tick(100, 2, &slot, FakeDesk::new());
    assert_eq!(
        (answer, echo::heard(&FakeDesk::back(desk))),
        (Ok(()), vec![100, 2])
    );
}

#[test]
fn what_is_observed_are_the_first_numbers_of_what_is_judged() {
    let observe = Guest::new().params("observe", "observe");
    let guest = Guest::new()
        .importing("metrics", "add")
        .exporting("observe")
        .with("observe", "observe", &echo::repeat(&observe));
    let policy = policy(&guest);
    assert!(policy.hears().is_empty());
    let slot = HOST.slot();
    let mut instance = policy
        .instantiate(Place::Vm, &slot, FakeDesk::new())
        .0
        .unwrap();
    for (event, judged) in echo::events() {
        let wanted = policy
            .observations()
            .iter()
            .any(|seen| seen.kind == event.kind());
        assert!(wanted, "{}", event.kind().name());
        let (answer, desk) = instance.observe(&case(&event), &slot, FakeDesk::new());
        assert_eq!(answer, Ok(()));
        let heard = echo::heard(&FakeDesk::back(desk));
        // An error code that may be missing takes two numbers there, and one here.
        let trap = event.kind() == EventKind::Trap;
        let mut expected = if trap { vec![14, 6, 0xbeef] } else { judged };
        expected.resize(4, 0);
        assert_eq!(
            heard[echo::MOMENT + 1..],
            expected,
            "{}",
            event.kind().name()
        );
        let kinds = EventKind::ALL
            .iter()
            .filter(|kind| kind.class() != EventClass::Wire);
        let number = kinds
            .clone()
            .position(|kind| *kind == event.kind())
            .unwrap();
        assert_eq!(
            heard[echo::MOMENT],
            number as u64,
            "{}",
            event.kind().name()
        );
    }
}

#[test]
fn observations_are_of_what_is_granted() {
    // Two filters, at 4096: one in ten of `cr`; all of `msr`.
    let filters = format!(
        "(i32.store (i32.const 4100) (i32.const 10)) (i32.store8 (i32.const 4136) (i32.const 1))
         (i32.store (i32.const {ANSWER}) (i32.const 4096)) (i32.store offset=4 (i32.const {ANSWER}) (i32.const 2))"
    );
    let guest = Guest::new()
        .exporting("observe")
        .with("observe", "filters", &filters);
    let terms = Terms {
        events: [EventKind::Cr, EventKind::Page].into_iter().collect(),
        ..all()
    };
    let policy = prepare(&guest, terms).unwrap();
    let seen: Vec<_> = policy
        .observations()
        .iter()
        .map(|seen| (seen.kind, seen.one_in))
        .collect();
    assert_eq!(seen, [(EventKind::Cr, 10)]);
}
