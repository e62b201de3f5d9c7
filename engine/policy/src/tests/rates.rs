//! What a policy uses up over several calls and instances, and what it asks for when nothing is
//! left.

use oriel_protocol::{
    Refusal,
    commands::{
        VcpuReply, VmReply,
        service::{StoreGet, StoreSet},
    },
};

use super::{
    guest::{RESULT, TEXT, answer},
    *,
};
use crate::Failure;

fn terms(limit: impl FnOnce(&mut Limits)) -> Terms {
    let mut terms = all();
    limit(&mut terms.limits);
    terms
}

/// A policy whose `judge` of MSR writes does this.
fn doing(interface: &str, function: &str, body: &str) -> Guest {
    Guest::judging(["msr"])
        .importing(interface, function)
        .with("judge-msr", "judge", body)
}

/// Has a fresh instance judge an event.
fn once(policy: &Policy, desk: Box<FakeDesk>) -> (Result<(), Failure>, Box<FakeDesk>, Instance) {
    let slot = HOST.slot();
    let (instance, desk) = policy.instantiate(Place::Vcpu(0), &slot, desk);
    let mut instance = instance.unwrap();
    let event = msr();
    let (verdict, desk) = instance.judge(&case(&event), &slot, desk);
    (verdict.map(drop), FakeDesk::back(desk), instance)
}

/// A body that does something so often.
fn often(times: u32, body: &str) -> String {
    format!(
        "(local $left i32) (local.set $left (i32.const {times}))
         (loop $more {body}
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))"
    )
}

#[test]
fn instances_of_a_policy_log_so_many_bytes_a_second_together() {
    let line = "(call $log.write (i32.const 2) (i32.const 0) (i32.const 100))";
    let guest = doing("log", "write", &often(3, line));
    let limited = prepare(&guest, terms(|limits| limits.log_bytes_per_second = 400)).unwrap();
    let (_, first, _kept) = once(&limited, FakeDesk::new());
    let (_, second, _kept) = once(&limited, FakeDesk::new());
    assert_eq!((first.asked.len(), second.asked.len()), (3, 1));
    let lost = limited.news().unwrap();
    assert_eq!((lost.logs, lost.alerts, limited.news()), (2, 0, None));
    let (_, elsewhere, _) = once(&limited.apart(), FakeDesk::new());
    assert_eq!(elsewhere.asked.len(), 3, "another VM is another matter");
}

#[test]
fn instances_of_a_policy_raise_so_many_alerts_a_second_together() {
    let raise = format!(
        "(call $alert.raise (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 16384) (i32.const 0) (i32.const {RESULT}))"
    );
    let guest = doing("alert", "raise", &raise);
    let limited = prepare(&guest, terms(|limits| limits.alerts_per_second = 1)).unwrap();
    let raised = [(); 3].map(|()| once(&limited, FakeDesk::new()).1.asked.len());
    assert_eq!(raised, [1, 0, 0]);
    assert_eq!(limited.news().map(|lost| lost.alerts), Some(2));
}

#[test]
fn there_are_so_many_instances_at_once() {
    let limited = prepare(
        &Guest::judging(["msr"]),
        terms(|limits| limits.instances = 2),
    );
    let (limited, slot) = (limited.unwrap(), HOST.slot());
    let begin = || limited.instantiate(Place::Vm, &slot, FakeDesk::new()).0;
    let (first, _second) = (begin().unwrap(), begin().unwrap());
    let crowded = begin().unwrap_err();
    assert_eq!(crowded, Failure::Crowded { most: 2 });
    assert!(!crowded.is_strike());
    drop(first);
    begin().expect("room again");
}

#[test]
fn there_are_so_many_tables() {
    let tables = "(table $a 0 funcref) (table $b 0 funcref) (table $c 0 funcref)";
    let guest = Guest::judging(["msr"]).raw(tables);
    prepare(&guest, terms(|limits| limits.tables = 3)).expect("as many as it may have");
    let error = prepare(&guest, terms(|limits| limits.tables = 2)).unwrap_err();
    assert!(error.to_string().contains("table"), "{error}");
}

#[test]
fn what_a_command_answers_with_is_bounded() {
    let read = |length: u32| {
        format!("(call $memory-read.read (i64.const 0) (i32.const {length}) (i32.const {RESULT}))")
    };
    let tell = format!(
        "(call $store.add (i32.const {TEXT}) (i32.const 1) (i64.load8_u (i32.const {})) (i32.const 1400))",
        RESULT + 4
    );
    let limit = Refusal::ALL.iter().position(|no| *no == Refusal::Limit);
    for (length, told) in [(64, None), (65, limit)] {
        let body = format!(
            "{} (if (i32.load8_u (i32.const {RESULT})) (then {tell}))",
            read(length)
        );
        let guest = doing("memory-read", "read", &body).importing("store", "add");
        let guest = guest.text(TEXT, "n");
        let limited = prepare(&guest, terms(|limits| limits.reply_bytes = 64)).unwrap();
        let mut desk = FakeDesk::new();
        desk.vm = Some(VmReply::ReadPhysical(vec![7; length as usize]));
        let (answer, desk, _) = once(&limited, desk);
        assert_eq!(answer, Ok(()));
        let key = "n".to_owned();
        let found = desk.store.apply(StoreGet { key });
        let told = told.map(|told| (told as u64).to_le_bytes().to_vec());
        assert_eq!(found, Ok(told), "{length} bytes");
    }
}

#[test]
fn what_the_store_and_a_vcpu_answer_with_is_bounded_too() {
    let key = "k".repeat(65);
    let named = format!("(i32.const {TEXT}) (i32.const 65)");
    let calls = [
        ("store", "get", named.clone()),
        ("store", "keys", format!("(i32.const {TEXT}) (i32.const 0)")),
        (
            "store",
            "compare-and-swap",
            format!(
                "{named} (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)"
            ),
        ),
        (
            "x86-registers-read",
            "get-xsave",
            "(i32.const 0)".to_owned(),
        ),
    ];
    for (interface, function, arguments) in calls {
        let guest = Guest::judging(["msr"]);
        let at = RESULT + guest.refusal_offset(interface, function);
        let body = format!(
            "(call ${interface}.{function} {arguments} (i32.const {RESULT}))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const {RESULT})))
             (call $metrics.add (i32.const 0) (i32.const 0) (i64.load8_u (i32.const {at})))"
        );
        let guest = guest
            .importing(interface, function)
            .importing("metrics", "add")
            .with("judge-msr", "judge", &body)
            .text(TEXT, &key);
        let limited = prepare(&guest, terms(|limits| limits.reply_bytes = 64)).unwrap();
        let mut desk = FakeDesk::new();
        desk.vcpu = Some(VcpuReply::GetXsave(vec![0; 65]));
        let (key, value) = (key.clone(), vec![0; 65]);
        desk.store.apply(StoreSet { key, value }).unwrap();
        let (answer, desk, _) = once(&limited, desk);
        assert_eq!(answer, Ok(()), "{function}");
        let limit = Refusal::ALL.iter().position(|no| *no == Refusal::Limit);
        let told = super::echo::heard(&desk);
        assert_eq!(told, [1, limit.unwrap() as u64], "{function}");
    }
}

#[test]
fn who_goes_on_asking_after_a_no_has_made_a_storm() {
    let ask = format!("(call $control.resume (i32.const {RESULT}))");
    for (times, storm) in [(40, false), (41, true)] {
        let guest = doing("control", "resume", &(often(times, &ask) + &answer(4)));
        let limited = prepare(&guest, terms(|limits| limits.commands = 20)).unwrap();
        let (verdict, desk, instance) = once(&limited, FakeDesk::new());
        assert_eq!(desk.asked.len(), 20, "the others were refused");
        assert_eq!((verdict.is_err(), instance.is_dead()), (storm, storm));
        if let Err(failure) = verdict {
            let (most, refused) = (20, 21);
            assert_eq!(failure, Failure::Storm { most, refused });
            assert!(failure.is_strike());
        }
    }
}

#[test]
fn a_flood_of_log_lines_is_no_storm_because_nobody_says_no() {
    let line = "(call $log.write (i32.const 2) (i32.const 0) (i32.const 1))";
    let flood = policy(&doing("log", "write", &often(50_000, line)));
    let (verdict, desk, instance) = once(&flood, FakeDesk::new());
    assert_eq!((verdict, desk.asked.len()), (Ok(()), 64));
    assert_eq!(instance.dropped().logs, 50_000 - 64);
}

#[test]
fn a_store_takes_what_its_policy_may_keep() {
    let store = crate::Store::new();
    let set = |key: &str, length: usize| {
        let (key, value) = (key.to_owned(), vec![1; length]);
        store.apply(StoreSet { key, value })
    };
    store.bound(2, 100);
    assert_eq!((set("a", 49), set("b", 49)), (Ok(()), Ok(())));
    assert_eq!(
        (set("b", 50), set("c", 0)),
        (Err(Refusal::Limit), Err(Refusal::Limit))
    );
    store.bound(1, 10);
    assert_eq!(set("a", 40), Ok(()), "less than there was is no more");
    assert_eq!(set("a", 41), Err(Refusal::Limit));
}
