//! A policy that tries to be in two calls at once: by calling the host while the host hands it
//! something, or by calling itself.

use oriel_protocol::commands::VmReply;

use super::{guest::RESULT, *};
use crate::Failure;

#[test]
fn the_host_is_not_called_while_it_hands_over_what_it_was_asked_for() {
    let resume = "(if (global.get $asked) (then (call $control.resume (i32.const 1400))))";
    let read = format!("(call $memory-read.read (i64.const 0) (i32.const 8) (i32.const {RESULT}))");
    let guest = Guest::judging(["msr"])
        .importing("control", "resume")
        .importing("memory-read", "read")
        .raw("(global $asked (mut i32) (i32.const 0))")
        .allocating(resume)
        .with(
            "judge-msr",
            "judge",
            &format!("(global.set $asked (i32.const 1)) {read}"),
        );
    let (mut policy, slot) = instance(&guest);
    let mut desk = FakeDesk::new();
    desk.vm = Some(VmReply::ReadPhysical(vec![0; 8]));
    let event = msr();
    let (verdict, desk) = policy.judge(&case(&event), &slot, desk);
    let failure = verdict.unwrap_err();
    assert!(
        matches!(failure, Failure::Trap { .. }) && failure.is_strike(),
        "{failure}"
    );
    assert_eq!(FakeDesk::back(desk).asked.len(), 1, "the read, and no more");
    assert!(policy.is_dead());
}

#[test]
fn a_component_does_not_enter_itself() {
    let component = include_str!("reentry.wat");
    let bytes = wat::parse_str(component).unwrap();
    let plugin = HOST.load("ouroboros", &bytes).unwrap();
    let policy = HOST.prepare(&plugin, all()).unwrap();
    let slot = HOST.slot();
    let begun = policy.instantiate(Place::Vm, &slot, FakeDesk::new()).0;
    let (answer, _) = begun.unwrap().tick(0, 0, &slot, FakeDesk::new());
    let failure = answer.unwrap_err();
    assert!(matches!(failure, Failure::Trap { .. }), "{failure}");
    assert!(failure.is_strike(), "{failure}");
}
