//! A trapped page, in kernel code (which the KVM of some hosts emulates) and in user code.

use oriel_guests::{PAGE, PAGE_ADDED, PAGE_BEFORE, PAGE_STORED, PAGE_WORD};
use oriel_machine::End;
use oriel_policy::Setting;
use oriel_protocol::{EventKind, Verdict};
use oriel_tests::{Load, Ran};

use super::{THERE, count, judged, policy};
use crate::kvm::{guest, kvm};

const STORED: u64 = PAGE_STORED as u64;
const ADDED: u64 = PAGE_ADDED as u64;

/// What the guests report: the word as it is first loaded, after the store, after both additions,
/// and how many #GP they took.
const fn reports(loaded: u64, stored: u64, faults: u64) -> [u64; 5] {
    let sum = stored + ADDED;
    [loaded, stored, sum, sum + ADDED, faults]
}

const UNTOUCHED: [u64; 5] = reports(THERE, STORED, 0);

/// The policy with the guests' page trapped, but for these kinds of access.
fn trapping(allow: &str, rules: &[&str]) -> Load {
    policy(&[EventKind::Page], rules)
        .set("pages", Setting::Numbers(vec![PAGE]))
        .text("allow", allow)
}

fn run(name: &str, allow: &str, rules: &[&str]) -> Ran {
    let ran = judged(guest(name, 1), &trapping(allow, rules));
    assert!(count(&ran, EventKind::Page) > 0, "{name}: {rules:?}");
    ran
}

fn finished(name: &str, allow: &str, rule: &str) -> Vec<u64> {
    let ran = run(name, allow, &[rule]);
    assert_eq!(ran.outcome.end, End::Finished(0), "{name}: {rule}");
    ran.reports
}

/// In both modes.
const ALIKE: &[(&str, [u64; 5])] = &[
    ("page = continue", UNTOUCHED),
    ("page = step", UNTOUCHED),
    (
        "page read once = emulate 01020304",
        reports(0x0403_0201, STORED, 0),
    ),
    ("page read once = emulate 0102", reports(0x0201, STORED, 0)),
    ("page read once = skip", reports(PAGE_BEFORE, STORED, 0)),
    ("page read once = retry", UNTOUCHED),
    ("page write once = continue", UNTOUCHED),
    ("page write once = replace 0x55", reports(THERE, 0x55, 0)),
    ("page write once = skip", reports(THERE, THERE, 0)),
    ("page execute once = retry", UNTOUCHED),
    ("page execute once = skip", UNTOUCHED),
];

#[test]
fn a_policys_answer_to_a_page_access_is_what_the_guest_gets() {
    if !kvm() {
        return;
    }
    for name in ["pages", "user-pages"] {
        for (rule, expected) in ALIKE {
            // Stepping is for what has not run: where KVM leaves a store to us, it is put.
            let rule = rule.replace("= step", "= step or continue");
            assert_eq!(finished(name, "", &rule), expected, "{name}: {rule}");
        }
    }
}

#[test]
fn an_access_that_a_policy_denies_faults_where_it_has_not_happened_yet() {
    if !kvm() {
        return;
    }
    for rule in ["page read once = deny", "page read once = inject 13"] {
        let got = finished("pages", "", rule);
        assert_eq!(got, reports(PAGE_BEFORE, STORED, 1), "{rule}");
    }
    for rule in ["page execute once = deny", "page execute once = inject 13"] {
        let got = finished("pages", "rw", rule);
        assert_eq!(got, reports(THERE, STORED, 1), "{rule}");
    }
}

#[test]
fn a_store_that_a_policy_forbids_never_reaches_memory() {
    if !kvm() {
        return;
    }
    let rules = ["page write of 0x204080 once = deny or skip"];
    assert_eq!(PAGE_WORD, 0x20_4080);
    let ran = run("pages", "rx", &rules);
    let denied = ran.verdicts().contains(&(EventKind::Page, Verdict::Deny));
    // Where KVM leaves the store to us its instruction is over, and cannot fault.
    assert_eq!(ran.reports, reports(THERE, THERE, denied.into()));
    let skipped = ran.verdicts().contains(&(EventKind::Page, Verdict::Skip));
    assert!(denied != skipped, "one of the two");
}

#[test]
fn a_policy_is_asked_again_as_often_as_it_says_retry() {
    if !kvm() {
        return;
    }
    let once = "page read once = retry";
    let alone = count(&run("pages", "wx", &["page = continue"]), EventKind::Page);
    let again = run("pages", "wx", &[once, once, once]);
    assert_eq!(count(&again, EventKind::Page), alone + 3);
    assert_eq!(again.reports, UNTOUCHED);
}

#[test]
fn a_policy_stops_the_vm_at_a_page() {
    if !kvm() {
        return;
    }
    for name in ["pages", "user-pages"] {
        let ran = run(name, "rw", &["page execute = crash"]);
        assert_eq!(ran.outcome.end, End::Stopped, "{name}");
        assert_eq!(ran.reports, UNTOUCHED[..4], "{name}: the call comes last");
    }
}
