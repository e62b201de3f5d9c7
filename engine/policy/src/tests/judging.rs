//! Events in, verdicts out, for every kind.

use oriel_protocol::{
    EventKind, Value, Verdict, VerdictKind, VerdictSet, events::EventClass, x86::Exception,
};

use super::{
    echo::{self, MOMENT},
    guest::{ANSWER, answer, answer_with},
    *,
};
use crate::Failure;

#[test]
fn a_policy_that_says_nothing_lets_it_happen() {
    let (mut guard, slot) = instance(&Guest::judging(["msr"]));
    let event = msr();
    let (verdict, desk) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Ok(Verdict::Continue));
    assert!(FakeDesk::back(desk).asked.is_empty());
}

#[test]
fn every_kind_is_told_what_its_interface_says() {
    let (mut policy, slot) = instance(&echo::guest());
    for (event, told) in echo::events() {
        let kind = event.kind().name();
        let (verdict, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
        assert_eq!(verdict, Ok(Verdict::Continue), "{kind}");
        let heard = echo::heard(&FakeDesk::back(desk));
        let allowed = u64::from(event.allowed.bits());
        assert_eq!(
            heard[..MOMENT],
            [1, 3, 0, 0, allowed, 7, event.ip, event.cr3, 9],
            "{kind}"
        );
        assert_eq!(heard[MOMENT..], told, "{kind}");
    }
}

#[test]
fn the_events_of_this_test_are_all_that_can_be_judged() {
    let tested: Vec<_> = echo::events()
        .iter()
        .map(|(event, _)| event.kind())
        .collect();
    let judged = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    assert_eq!(tested.len(), judged.clone().count());
    assert!(judged.clone().all(|kind| tested.contains(kind)));
}

#[test]
fn what_other_judges_have_done_is_told() {
    let (mut policy, slot) = instance(&echo::guest());
    let mut event = msr();
    event.retired = true;
    let mut case = case(&event);
    case.decided = Decision::Keep;
    case.proposed = Some(Value::Word(99));
    let (_, desk) = policy.judge(&case, &slot, FakeDesk::new());
    let heard = echo::heard(&FakeDesk::back(desk));
    assert_eq!(
        (heard[2], heard[3]),
        (1, 9),
        "retired, and the last of the decisions"
    );
    assert_eq!(heard.last(), Some(&99), "what is proposed");
}

/// Answers with the case that has the number of the event's sequence.
fn every_verdict() -> Guest {
    let body = format!("(i32.store8 (i32.const {ANSWER}) (i32.wrap_i64 (local.get $p5)))");
    let judged = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    judged.fold(Guest::new(), |guest, kind| {
        let interface = format!("judge-{}", kind.name());
        guest.exporting(&interface).with(&interface, "judge", &body)
    })
}

#[test]
fn the_verdicts_of_a_kind_are_those_of_its_row() {
    let (mut policy, slot) = instance(&every_verdict());
    for (event, _) in echo::events() {
        let names = event.kind().verdicts().names();
        for (number, name) in names.enumerate() {
            let mut case = case(&event);
            case.moment.seq = number as u64;
            let (verdict, _) = policy.judge(&case, &slot, FakeDesk::new());
            let verdict = verdict.map(|verdict| verdict.kind().name());
            assert_eq!(verdict, Ok(name), "{} {number}", event.kind().name());
        }
    }
}

#[test]
fn a_case_that_the_kind_does_not_have_is_a_trap() {
    let (mut policy, slot) = instance(&every_verdict());
    let event = msr();
    let mut case = case(&event);
    case.moment.seq = 7;
    let (verdict, _) = policy.judge(&case, &slot, FakeDesk::new());
    assert!(matches!(verdict, Err(Failure::Trap { .. })), "{verdict:?}");
    assert!(policy.is_dead());
}

#[test]
fn a_replacement_and_an_exception_come_over_whole() {
    let replace = answer_with(3, "(i64.const 0x1122334455667788)");
    // vector 14; error code: there, 5; address 0xdead.
    let inject = format!(
        "(i32.store8 (i32.const {}) (i32.const 14)) (i32.store8 (i32.const {}) (i32.const 1))
         (i32.store (i32.const {}) (i32.const 5)) (i64.store (i32.const {}) (i64.const 0xdead)) {}",
        ANSWER + 8,
        ANSWER + 12,
        ANSWER + 16,
        ANSWER + 24,
        answer(6)
    );
    let exception = Exception {
        vector: 14,
        error_code: Some(5),
        address: 0xdead,
    };
    let value = Value::Word(0x1122_3344_5566_7788);
    for (body, expected) in [
        (replace, Verdict::Replace(value)),
        (inject, Verdict::Inject(exception)),
    ] {
        let (mut guard, slot) =
            instance(&Guest::judging(["msr"]).with("judge-msr", "judge", &body));
        let event = msr();
        let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
        assert_eq!(verdict, Ok(expected));
    }
}

#[test]
fn a_cpuid_leaf_can_be_replaced() {
    let leaf = format!(
        "(i32.store offset=8 (i32.const {ANSWER}) (i32.const 11)) {}",
        answer(3)
    );
    let (mut policy, slot) =
        instance(&Guest::judging(["cpuid"]).with("judge-cpuid", "judge", &leaf));
    let (event, _) = echo::events().swap_remove(9);
    let (verdict, _) = policy.judge(&case(&event), &slot, FakeDesk::new());
    assert!(
        matches!(verdict, Ok(Verdict::Replace(Value::Leaf(leaf))) if leaf.eax == 11),
        "{verdict:?}"
    );
}

/// Emulates so many zeros.
fn emulating(length: usize) -> Guest {
    let body = answer_with(7, &format!("(i64.const {})", (length << 32) | 4096));
    Guest::judging(["page"]).with("judge-page", "judge", &body)
}

#[test]
fn at_most_256_bytes_are_emulated() {
    let (event, _) = echo::events().swap_remove(5);
    for (length, lawful) in [(0, true), (256, true), (257, false)] {
        let (mut policy, slot) = instance(&emulating(length));
        let (verdict, _) = policy.judge(&case(&event), &slot, FakeDesk::new());
        let expected = if lawful {
            Ok(Verdict::Emulate(vec![0; length].into()))
        } else {
            Err(Failure::TooLong { length })
        };
        assert_eq!(verdict, expected);
    }
}

#[test]
fn a_verdict_that_the_event_cannot_take_is_illegal_and_not_fatal() {
    let deny = Guest::judging(["msr"]).with("judge-msr", "judge", &answer(4));
    let (mut guard, slot) = instance(&deny);
    let mut event = msr();
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Ok(Verdict::Deny));

    event.allowed = VerdictSet::CONTINUE | VerdictSet::REPLACE;
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    let verdict_kind = VerdictKind::Deny;
    assert_eq!(
        verdict,
        Err(Failure::Illegal {
            verdict: verdict_kind
        })
    );
    assert!(!guard.is_dead());
}

#[test]
fn what_is_not_exported_is_not_heard() {
    let (mut guard, slot) = instance(&Guest::judging(["msr"]));
    let (event, _) = echo::events().swap_remove(0);
    let (verdict, _) = guard.judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(verdict, Err(Failure::Unheard("cr")));
    assert!(!guard.is_dead());
}
