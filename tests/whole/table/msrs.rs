//! Writes and reads of an MSR, and the exceptions and ends that come of verdicts.

use oriel_guests::{RAX_BEFORE, RDX_BEFORE, STAR_FIRST, STAR_SECOND};
use oriel_machine::End;
use oriel_protocol::EventKind;

use super::{Row, all, judged, policy, row};
use crate::kvm::{guest, kvm};

const LOW: u64 = 0xffff_ffff;

/// What `msr-verdicts` reports: RAX, RDX, how many #GP, #UD and #PF it took, and CR2.
const fn holds(star: u64, faults: [u64; 2]) -> [u64; 6] {
    [star & LOW, star >> 32, faults[0], faults[1], 0, 0]
}

const SECOND: &[u64] = &holds(STAR_SECOND, [0, 0]);
const FIRST: &[u64] = &holds(STAR_FIRST, [0, 0]);

/// The answer to the second write; the first continues.
const WRITES: &[Row] = &[
    row("msr-verdicts", &["msr = continue"], SECOND),
    row("msr-verdicts", &[ONCE, "msr of 0xc0000081 = skip"], FIRST),
    row(
        "msr-verdicts",
        &[ONCE, "msr of 0xc0000081 once = retry"],
        SECOND,
    ),
    row(
        "msr-verdicts",
        &[ONCE, "msr of 0xc0000081 = deny"],
        &holds(STAR_FIRST, [1, 0]),
    ),
    row(
        "msr-verdicts",
        &[ONCE, "msr of 0xc0000081 = inject 6"],
        &holds(STAR_FIRST, [0, 1]),
    ),
    row(
        "msr-verdicts",
        &[ONCE, "msr of 0xc0000081 = replace 0x77"],
        &holds(0x77, [0, 0]),
    ),
];
const ONCE: &str = "msr of 0xc0000081 once = continue";

const READS: &[Row] = &[
    row("msr-verdicts", &["msr-read = continue"], SECOND),
    row("msr-verdicts", &["msr-read once = retry"], SECOND),
    row(
        "msr-verdicts",
        &["msr-read = replace 0x100000002"],
        &holds(0x1_0000_0002, [0, 0]),
    ),
    row(
        "msr-verdicts",
        &["msr-read = skip"],
        &[RAX_BEFORE, RDX_BEFORE, 0, 0, 0, 0],
    ),
    row(
        "msr-verdicts",
        &["msr-read = deny"],
        &[RAX_BEFORE, RDX_BEFORE, 1, 0, 0, 0],
    ),
    row(
        "msr-verdicts",
        &["msr-read = inject 6"],
        &[RAX_BEFORE, RDX_BEFORE, 0, 1, 0, 0],
    ),
];

#[test]
fn a_policys_answer_to_an_msr_write_is_what_the_guest_gets() {
    if kvm() {
        all(&[EventKind::Msr], WRITES);
    }
}

#[test]
fn a_policys_answer_to_an_msr_read_is_what_the_guest_gets() {
    if kvm() {
        all(&[EventKind::MsrRead], READS);
    }
}

#[test]
fn a_policy_stops_the_vm_at_what_it_has_injected_and_at_its_ends() {
    if !kvm() {
        return;
    }
    for (name, kinds, rules, reports) in [
        (
            "msr-verdicts",
            &[EventKind::Msr, EventKind::Trap][..],
            &["msr = inject 6", "trap of 6 = crash"][..],
            vec![],
        ),
        ("msr-verdicts", &[EventKind::Msr], &["msr = crash"], vec![]),
        (
            "hello",
            &[EventKind::Shutdown],
            &["shutdown = crash"],
            vec![],
        ),
        (
            "reset",
            &[EventKind::Reset],
            &["reset once = continue", "reset = crash"],
            vec![1, 1],
        ),
    ] {
        let ran = judged(guest(name, 1), &policy(kinds, rules));
        assert_eq!(ran.outcome.end, End::Stopped, "{name}: {rules:?}");
        assert_eq!(ran.reports, reports, "{name}: {rules:?}");
    }
}
