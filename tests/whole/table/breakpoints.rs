//! Breakpoints: a policy's own, and the INT3s of a guest.

use oriel_guests::{CALLS, OWN_INT3S, PAGE_ADDED, PAGE_BEFORE, PAGE_STORED};
use oriel_machine::End;
use oriel_policy::Setting;
use oriel_protocol::EventKind;
use oriel_tests::Ran;

use super::{THERE, count, judged, policy};
use crate::kvm::{guest, kvm};

/// Breaks at a mark of a guest, on so many vCPUs, and answers each hit by this rule.
fn at(name: &str, vcpus: u32, mark: &str, rule: &str) -> Ran {
    let guest = guest(name, vcpus);
    let mark = guest.mark(mark).expect("a mark of the guest");
    let policy = policy(&[EventKind::Breakpoint], &[rule]);
    judged(
        guest,
        &policy.set("breakpoints", Setting::Numbers(vec![mark])),
    )
}

/// What the guest reports, and how often the policy was asked.
fn outcome(ran: &Ran) -> (&[u64], usize) {
    assert_eq!(ran.outcome.end, End::Finished(0));
    (&ran.reports, count(ran, EventKind::Breakpoint))
}

#[test]
fn a_function_that_a_policy_breaks_at_runs_as_often_as_the_policy_lets_it() {
    if !kvm() {
        return;
    }
    let calls = u64::from(CALLS);
    for (rule, vcpus, ran, asked) in [
        ("breakpoint = continue", 1, calls, CALLS),
        ("breakpoint once = retry", 1, calls, CALLS + 1),
        // Its first instruction is what counts.
        ("breakpoint = skip", 1, 0, CALLS),
        ("breakpoint once = skip", 1, calls - 1, CALLS),
        ("breakpoint = continue", 2, 2 * calls, 2 * CALLS),
        ("breakpoint = skip", 2, 0, 2 * CALLS),
    ] {
        let seen = at("calls", vcpus, "function", rule);
        assert_eq!(
            outcome(&seen),
            (&[ran][..], asked as usize),
            "{vcpus}, {rule}"
        );
    }
    let stopped = at("calls", 2, "function", "breakpoint = crash");
    assert_eq!(
        (stopped.outcome.end, stopped.reports),
        (End::Stopped, vec![])
    );
}

#[test]
fn an_instruction_that_a_policy_denies_at_a_breakpoint_faults() {
    if !kvm() {
        return;
    }
    let (stored, added) = (u64::from(PAGE_STORED), u64::from(PAGE_ADDED));
    for (rule, loaded, faults) in [
        ("breakpoint = continue", THERE, 0),
        ("breakpoint = skip", PAGE_BEFORE, 0),
        ("breakpoint = deny", PAGE_BEFORE, 1),
        ("breakpoint = inject 13", PAGE_BEFORE, 1),
    ] {
        let seen = at("pages", 1, "load", rule);
        let expected = [loaded, stored, stored + added, stored + 2 * added, faults];
        assert_eq!(outcome(&seen), (&expected[..], 1), "{rule}");
    }
}

#[test]
fn a_guests_own_int3_is_its_own_unless_a_policy_takes_it() {
    if !kvm() {
        return;
    }
    let own = OWN_INT3S as usize;
    let int3s = u64::from(OWN_INT3S);
    for (rule, taken) in [("breakpoint = continue", int3s), ("breakpoint = skip", 0)] {
        let seen = judged(guest("int3", 1), &policy(&[EventKind::Breakpoint], &[rule]));
        assert_eq!(outcome(&seen), (&[taken, taken][..], own), "{rule}");
    }
}
