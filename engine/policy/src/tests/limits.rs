//! What a policy cannot use up.

use oriel_protocol::{Refusal, commands::VmReply};

use super::{
    guest::{RESULT, TEXT},
    *,
};
use crate::{Failure, limits};

/// Repeats a value.
fn metric(value: &str) -> String {
    format!("(call $metrics.add (i32.const 0) (i32.const 0) {value})")
}

/// Runs a body as `judge` of an MSR write, with everything but `setup` ordinary.
fn judged(
    guest: Guest,
    body: &str,
    desk: Box<FakeDesk>,
) -> (Result<(), Failure>, Box<FakeDesk>, Instance) {
    let guest = guest
        .importing("metrics", "add")
        .with("judge-msr", "judge", body);
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    let (verdict, desk) = policy.judge(&case(&event), &slot, desk);
    (verdict.map(drop), FakeDesk::back(desk), policy)
}

/// The refusal that a function with the result at [`RESULT`] got, or 99.
fn refusal(at: u32) -> String {
    metric(&format!(
        "(if (result i64) (i32.eq (i32.load8_u (i32.const {RESULT})) (i32.const 1))
            (then (i64.load8_u (i32.const {}))) (else (i64.const 99)))",
        RESULT + at
    ))
}

fn number(refusal: Refusal) -> u64 {
    let at = Refusal::ALL.iter().position(|known| *known == refusal);
    at.unwrap() as u64
}

/// A body that does something so many times.
fn times(count: u32, body: &str) -> String {
    format!(
        "(local $left i32) (local.set $left (i32.const {count}))
         (loop $more {body}
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $more (local.get $left)))"
    )
}

#[test]
fn a_call_may_ask_for_1024_things() {
    let body = times(
        2000,
        &format!("(call $control.resume (i32.const {RESULT}))"),
    );
    let last = format!(
        "(i32.store8 (i32.const 0) (i32.load8_u (i32.const {})))",
        RESULT + 1
    );
    let guest = Guest::judging(["msr"])
        .importing("control", "resume")
        .importing("log", "write")
        .with("judge-msr", "judge", &(body + &last));
    let (mut policy, slot) = instance(&guest);
    let event = msr();
    for _ in 0..2 {
        let (verdict, desk) = policy.judge(&case(&event), &slot, FakeDesk::new());
        assert!(verdict.is_ok());
        assert_eq!(FakeDesk::back(desk).asked.len(), 1024, "in each call");
    }
}

#[test]
fn past_its_commands_a_policy_is_told_that_it_is_over_the_limit() {
    let body = format!("(call $control.resume (i32.const {RESULT}))");
    let policy = Guest::judging(["msr"])
        .importing("control", "resume")
        .importing("store", "add");
    // The last one goes to the store, so that the desk can be asked for what came of it.
    let note = format!(
        "(call $store.add (i32.const {TEXT}) (i32.const 1) (i64.load8_u (i32.const {})) (i32.const {RESULT}))",
        RESULT + 1
    );
    let terms = Terms {
        limits: Limits {
            commands: 2,
            ..Limits::default()
        },
        ..all()
    };
    let guest = policy
        .with("judge-msr", "judge", &(body.repeat(3) + &note))
        .text(TEXT, "n");
    let slot = HOST.slot();
    let policy = prepare(&guest, terms).unwrap();
    let (instance, _) = policy.instantiate(Place::Vm, &slot, FakeDesk::new());
    let event = msr();
    let (_, desk) = instance
        .unwrap()
        .judge(&case(&event), &slot, FakeDesk::new());
    assert_eq!(
        FakeDesk::back(desk).asked.len(),
        2,
        "the third, and the store, were refused"
    );
}

#[test]
fn log_lines_are_cut_and_counted() {
    let long = format!(
        "(call $log.write (i32.const 2) (i32.const 4096) (i32.const {}))",
        5000
    );
    let body = format!("(memory.fill (i32.const 4096) (i32.const 97) (i32.const 5000)) {long}");
    let (answer, desk, _) = judged(
        Guest::judging(["msr"]).importing("log", "write"),
        &body,
        FakeDesk::new(),
    );
    assert_eq!(answer, Ok(()));
    let line = format!(
        "WriteLog {{ level: Info, message: \"{}\" }}",
        "a".repeat(limits::LOG_MAX)
    );
    assert_eq!(desk.asked, [line]);

    let body = times(
        100,
        "(call $log.write (i32.const 2) (i32.const 0) (i32.const 0))",
    );
    let (answer, desk, policy) = judged(
        Guest::judging(["msr"]).importing("log", "write"),
        &body,
        FakeDesk::new(),
    );
    assert_eq!((answer, desk.asked.len()), (Ok(()), 64));
    assert_eq!(policy.dropped().logs, 36);
}

#[test]
fn names_of_metrics_are_short() {
    let body = "(call $metrics.add (i32.const 0) (i32.const 129) (i64.const 1))";
    let (answer, desk, policy) = judged(Guest::judging(["msr"]), body, FakeDesk::new());
    assert_eq!((answer, desk.asked.len()), (Ok(()), 0));
    assert_eq!(policy.dropped().metrics, 1);
}

#[test]
fn alerts_are_few_and_short() {
    let guest = || Guest::judging(["msr"]).importing("alert", "raise");
    let raise = |length: usize, fields: u32| {
        format!(
            "(call $alert.raise (i32.const 3) (i32.const 0) (i32.const {length}) (i32.const 16384) (i32.const {fields}) (i32.const {RESULT}))"
        )
    };
    for (length, fields, told) in [(4096, 32, 99), (4097, 0, 7), (0, 33, 7)] {
        let (answer, desk, _) = judged(
            guest(),
            &(raise(length, fields) + &refusal(1)),
            FakeDesk::new(),
        );
        assert_eq!(answer, Ok(()));
        assert_eq!(
            super::echo::heard(&desk),
            [told],
            "{length} bytes, {fields} fields"
        );
    }
    let (_, desk, _) = judged(
        guest(),
        &(times(20, &raise(0, 0)) + &refusal(1)),
        FakeDesk::new(),
    );
    assert_eq!(desk.asked.len(), 16 + 1);
    assert_eq!(super::echo::heard(&desk), [number(Refusal::Limit)]);
}

#[test]
fn more_than_a_bulk_is_invalid() {
    let mut replies = FakeDesk::new();
    replies.vm = Some(VmReply::ReadPhysical(Vec::new()));
    let ranges = |count: u32| {
        format!(
            "(call $memory-read.read-scattered (i32.const 16384) (i32.const {count}) (i32.const {RESULT}))"
        )
    };
    let fill = "(i32.store (i32.const 16392) (i32.const 65537))";
    let table = [
        (
            "memory-read",
            "read",
            format!(
                "(call $memory-read.read (i64.const 0) (i32.const 65537) (i32.const {RESULT}))"
            ),
            4,
        ),
        (
            "memory-read",
            "read-virtual",
            format!(
                "(call $memory-read.read-virtual (i32.const 0) (i64.const 0) (i32.const 65537) (i32.const {RESULT}))"
            ),
            4,
        ),
        ("memory-read", "read-scattered", ranges(257), 4),
        (
            "memory-read",
            "read-scattered",
            fill.to_owned() + &ranges(1),
            4,
        ),
        (
            "memory-write",
            "write",
            format!(
                "(call $memory-write.write (i64.const 0) (i32.const 0) (i32.const 65537) (i32.const {RESULT}))"
            ),
            1,
        ),
        (
            "x86-registers-write",
            "set-xsave",
            format!(
                "(call $x86-registers-write.set-xsave (i32.const 0) (i32.const 0) (i32.const 4097) (i32.const {RESULT}))"
            ),
            1,
        ),
    ];
    for (interface, function, call, at) in table {
        let guest = Guest::judging(["msr"])
            .importing(interface, function)
            .pages(2);
        let (answer, desk, _) = judged(guest, &(call + &refusal(at)), FakeDesk::new());
        assert_eq!(answer, Ok(()), "{function}");
        assert_eq!(desk.asked.len(), 1, "{function}: the desk was not asked");
        assert_eq!(
            super::echo::heard(&desk),
            [number(Refusal::Invalid)],
            "{function}"
        );
    }
}

#[test]
fn scattered_reads_have_an_answer_each() {
    let body = format!(
        "(call $memory-read.read-scattered (i32.const 16384) (i32.const 3) (i32.const {RESULT})) {}",
        metric(&format!("(i64.load32_u (i32.const {}))", RESULT + 8))
    );
    let guest = Guest::judging(["msr"]).importing("memory-read", "read-scattered");
    let mut replies = FakeDesk::new();
    let pieces = vec![Ok(vec![1]), Err(Refusal::NotFound), Ok(vec![2])];
    replies.vm = Some(VmReply::ReadScattered(pieces));
    let (answer, desk, _) = judged(guest, &body, replies);
    assert_eq!(answer, Ok(()));
    assert_eq!(desk.asked.len(), 1 + 1, "one command for all of them");
    assert_eq!(super::echo::heard(&desk), [3]);
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    let grow = |pages: u32| {
        metric(&format!(
            "(i64.extend_i32_s (memory.grow (i32.const {pages})))"
        ))
    };
    let (answer, desk, _) = judged(
        Guest::judging(["msr"]),
        &(grow(1023) + &grow(1)),
        FakeDesk::new(),
    );
    assert_eq!(answer, Ok(()));
    assert_eq!(
        super::echo::heard(&desk),
        [1, u64::MAX],
        "64 MiB, then no more"
    );
}

#[test]
fn an_instance_past_its_mark_is_worn_and_can_still_be_called() {
    let grow = metric("(i64.extend_i32_s (memory.grow (i32.const 2)))");
    let guest = Guest::judging(["msr"]).importing("metrics", "add");
    let guest = guest.with("judge-msr", "judge", &grow);
    let mut terms = all();
    terms.limits.renew = 4 << 16;
    let policy = prepare(&guest, terms).unwrap();
    let slot = HOST.slot();
    let instance = policy.instantiate(Place::Vm, &slot, FakeDesk::new()).0;
    let mut instance = instance.unwrap();
    let event = msr();
    let worn = [(); 3].map(|()| {
        let judged = instance.judge(&case(&event), &slot, FakeDesk::new()).0;
        judged.unwrap();
        instance.is_worn()
    });
    assert_eq!(worn, [false, true, true], "3, 5 and 7 pages");
}

#[test]
fn a_bomb_is_refused_at_the_start() {
    let bomb = Guest::judging(["msr"]).pages(2000);
    let error = prepare(&bomb, all()).unwrap_err();
    assert!(
        matches!(error, PrepareError::Probe(Failure::Trap { .. })),
        "{error}"
    );
    let terms = Terms {
        limits: Limits {
            memory: 256 << 20,
            ..Limits::default()
        },
        ..all()
    };
    let policy =
        prepare(&bomb, terms).expect("the operator may allow it: it does not need the pool");
    let (instance, _) = policy.instantiate(Place::Vm, &HOST.slot(), FakeDesk::new());
    instance.unwrap();
}

#[test]
fn tables_grow_to_their_limit() {
    let guest = Guest::judging(["msr"]).raw("(table $t 0 funcref)");
    let guest_body = metric("(i64.extend_i32_s (table.grow $t (ref.null func) (i32.const 10001)))");
    let (answer, desk, _) = judged(guest, &guest_body, FakeDesk::new());
    assert_eq!(answer, Ok(()));
    assert_eq!(super::echo::heard(&desk), [u64::MAX]);
}

#[test]
fn what_is_handed_over_is_bounded_before_the_host_has_it() {
    let body = "(call $log.write (i32.const 2) (i32.const 0) (i32.const 4000000))";
    let guest = Guest::judging(["msr"]).importing("log", "write").pages(64);
    let (answer, desk, policy) = judged(guest, body, FakeDesk::new());
    assert!(matches!(answer, Err(Failure::Trap { .. })), "{answer:?}");
    assert!(desk.asked.is_empty() && policy.is_dead());
}

#[test]
fn the_stack_ends_in_a_trap() {
    let (answer, _, policy) = judged(
        Guest::judging(["msr"]).raw("(func $deep (call $deep))"),
        "(call $deep)",
        FakeDesk::new(),
    );
    let Err(Failure::Trap { message, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert!(message.contains("call stack exhausted"), "{message}");
    assert!(policy.is_dead());
}

#[test]
fn filters_are_bounded() {
    // A list of 5000 filters, at 16384.
    let body = format!(
        "(i32.store (i32.const {0}) (i32.const 16384)) (i32.store offset=4 (i32.const {0}) (i32.const 5000))",
        super::guest::ANSWER
    );
    let guest = Guest::judging(["msr"])
        .with("judge-msr", "filters", &body)
        .pages(8);
    let error = prepare(&guest, all()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("5000 filters of `msr`; 4096 at most"),
        "{error}"
    );
}

#[test]
fn the_pool_says_when_it_is_full() {
    let settings = HostSettings {
        pool: 2,
        ..HostSettings::default()
    };
    let host = Host::new(settings).unwrap();
    let plugin = host
        .load("guest", &Guest::judging(["msr"]).build())
        .unwrap();
    let policy = host.prepare(&plugin, all()).unwrap();
    let slot = host.slot();
    let begin = || policy.instantiate(Place::Vm, &slot, FakeDesk::new()).0;
    let (first, _second) = (begin().unwrap(), begin().unwrap());
    assert_eq!(begin().unwrap_err(), Failure::Full);
    drop(first);
    begin().expect("room again");
}
