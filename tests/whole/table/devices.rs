//! Ports, and addresses that are no RAM.

use oriel_guests::PIO_VALUE;
use oriel_protocol::EventKind;

use super::{Row, all, count, judged, policy, row};
use crate::kvm::{guest, kvm};

/// What `pio` and `mmio` read where no device is, and nobody interferes.
const NO_PORT: &[u64] = &[0xffff_ffff, 0x11ff];
const NO_MEMORY: &[u64] = &[u64::MAX, 0xffff];

const PORTS: &[Row] = &[
    row("pio", &["pio = continue"], NO_PORT),
    row("pio", &["pio read of 0x1234 = skip"], NO_PORT),
    row(
        "pio",
        &["pio read of 0x1234 = replace 0x12345678"],
        &[0x1234_5678, 0x1178],
    ),
];

const MEMORY: &[Row] = &[
    row("mmio", &["mmio = continue"], NO_MEMORY),
    row("mmio", &["mmio = skip"], NO_MEMORY),
    row(
        "mmio",
        &["mmio read = replace 0xabcdef0123456789"],
        &[0xabcd_ef01_2345_6789, 0x6789],
    ),
];

#[test]
fn a_policys_answer_to_a_port_is_what_the_guest_reads() {
    if kvm() {
        all(&[EventKind::Pio], PORTS);
    }
}

#[test]
fn a_policys_answer_to_memory_that_is_no_ram_is_what_the_guest_reads() {
    if kvm() {
        all(&[EventKind::Mmio], MEMORY);
    }
}

/// The ports by which guests report are ports: what is written there is a policy's to change.
#[test]
fn a_policy_replaces_what_a_guest_writes_to_a_device() {
    if !kvm() {
        return;
    }
    let low = oriel_guests::abi::REPORT_LOW_PORT;
    let rule = format!("pio write of {low} once = replace {PIO_VALUE}");
    let ran = judged(guest("pio", 1), &policy(&[EventKind::Pio], &[&rule]));
    assert_eq!(ran.reports, [u64::from(PIO_VALUE), NO_PORT[1]]);
    assert!(count(&ran, EventKind::Pio) > 5);
}
