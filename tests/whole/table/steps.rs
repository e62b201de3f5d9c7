//! Single steps, which are behind their instruction.

use oriel_guests::{PAGE_ADDED, PAGE_STORED};
use oriel_machine::End;
use oriel_policy::Setting;
use oriel_protocol::EventKind;
use oriel_tests::Ran;

use super::{THERE, count, judged, policy};
use crate::kvm::{guest, kvm};

const STORED: u64 = PAGE_STORED as u64;
const ADDED: u64 = PAGE_ADDED as u64;
const UNTOUCHED: [u64; 5] = [THERE, STORED, STORED + ADDED, STORED + 2 * ADDED, 0];

fn stepped(instructions: u64, rule: &str) -> Ran {
    let policy = policy(&[EventKind::Singlestep], &[rule]);
    let steps = Setting::Number(instructions);
    judged(guest("pages", 1), &policy.set("steps", steps))
}

#[test]
fn a_policy_steps_a_guest_for_as_long_as_it_likes_and_changes_nothing() {
    if !kvm() {
        return;
    }
    for instructions in [1, 40] {
        let ran = stepped(instructions, "singlestep = continue");
        assert_eq!(ran.outcome.end, End::Finished(0));
        assert_eq!(count(&ran, EventKind::Singlestep) as u64, instructions);
        assert_eq!(ran.reports, UNTOUCHED);
    }
}

#[test]
fn a_policy_has_a_stepped_guest_take_an_exception_or_stops_it() {
    if !kvm() {
        return;
    }
    let reload = guest("pages", 1).mark("reload").expect("a mark");
    let rule = format!("singlestep at {reload} once = inject 13");
    let ran = stepped(10_000, &rule);
    assert_eq!(ran.outcome.end, End::Finished(0));
    // The handler passes over the load, so RAX is as the report before has left it.
    let expected = [THERE, 0, STORED + ADDED, STORED + 2 * ADDED, 1];
    assert_eq!(ran.reports, expected);
    let rule = format!("singlestep at {reload} = crash");
    let ran = stepped(10_000, &rule);
    assert_eq!((ran.outcome.end, ran.reports), (End::Stopped, vec![THERE]));
}
