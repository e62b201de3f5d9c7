//! A sandboxed policy judges every kind of event of a real guest, with the verdicts that kind and
//! mechanism allow; what comes of each the guest says itself, through its port. Skipped loudly where
//! `/dev/kvm` cannot be used.
//!
//! A test is a table: what the policy is told, and what the guest reports then.

mod breakpoints;
mod devices;
mod msrs;
mod pages;
mod steps;

use oriel_guests::{Guest, PAGE, PAGE_WORD};
use oriel_machine::End;
use oriel_policy::Setting;
use oriel_protocol::{EventKind, Right};
use oriel_tests::{Load, Ran, host, load, run};

use crate::kvm::{guest, parts};

/// What lies in the page of the guests that touch one.
const THERE: u64 = 0xabc;
const RET: u8 = 0xc3;

/// The policy that answers by this table, and hears these kinds.
pub(crate) fn policy(kinds: &[EventKind], rules: &[&str]) -> Load {
    let rules = rules.iter().map(|&rule| rule.to_owned()).collect();
    load("oriel-table")
        .right(Right::Intercept)
        .right(Right::PageAccess)
        .hears(kinds)
        .set("rules", Setting::Texts(rules))
}

/// Runs a guest under this policy. None of its answers may be one that the event cannot take.
pub(crate) fn judged(guest: Guest, policy: &Load) -> Ran {
    let judges = vec![policy.candidate(&host())];
    let build = |outlet| {
        let parts = parts(guest, outlet);
        let memory = parts.machine.memory();
        memory.write_at(PAGE, &[RET; 8]).expect("RAM");
        let word = THERE.to_le_bytes();
        memory.write_at(PAGE_WORD, &word).expect("RAM");
        parts
    };
    let ran = run(build, judges);
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    ran
}

/// How many events of this kind were judged.
pub(crate) fn count(ran: &Ran, kind: EventKind) -> usize {
    let verdicts = ran.verdicts();
    verdicts
        .iter()
        .filter(|(judged, _)| *judged == kind)
        .count()
}

/// A guest, what it is answered, and what it reports then.
struct Row {
    guest: &'static str,
    rules: &'static [&'static str],
    reports: &'static [u64],
}

const fn row(guest: &'static str, rules: &'static [&'static str], reports: &'static [u64]) -> Row {
    Row {
        guest,
        rules,
        reports,
    }
}

/// Runs every row, each on a VM of its own, to its end.
fn all(kinds: &[EventKind], rows: &[Row]) {
    for row in rows {
        let ran = judged(guest(row.guest, 1), &policy(kinds, row.rules));
        let (name, rules) = (row.guest, row.rules);
        assert_eq!(ran.outcome.end, End::Finished(0), "{name}: {rules:?}");
        assert_eq!(ran.reports, row.reports, "{name}: {rules:?}");
        assert!(ran.outcome.events > 0, "{name}: it was asked");
    }
}
