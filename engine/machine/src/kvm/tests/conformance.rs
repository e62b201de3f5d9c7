//! A policy that always continues changes nothing against no policy.

use oriel_guests::conformance::{REPORTS_PER_ROW, ROWS};
use oriel_protocol::EventKind;

use super::theatre::{Play, all_of, continues, has_kvm, nothing, play, reads_of, writes_of};
use crate::{End, Wants};

/// Whether the write faulted, whether the read did, and what it gave: a row each.
fn rows(play: &Play) -> Vec<[u64; 3]> {
    assert_eq!(play.end(), &End::Finished(0));
    let values = play.values();
    let (rows, rest) = values.as_chunks::<REPORTS_PER_ROW>();
    assert!(rest.is_empty() && rows.len() == ROWS.len());
    rows.to_vec()
}

fn differences(without: &[[u64; 3]], with: &[[u64; 3]]) -> Vec<String> {
    let rows = ROWS.iter().zip(without).zip(with);
    rows.filter(|((_, without), with)| without != with)
        .map(|((row, without), with)| format!("{}: {without:x?} became {with:x?}", row.name))
        .collect()
}

#[test]
fn continuing_every_filtered_msr_changes_nothing() {
    if !has_kvm() {
        return;
    }
    let without = rows(&play("msr-conformance", 1, &nothing(), continues));
    for (row, result) in ROWS.iter().zip(&without) {
        eprintln!(
            "{:<36} {:#11x} {:#18x} → {result:x?}",
            row.name, row.msr, row.value
        );
    }
    let kinds: [&[EventKind]; 3] = [
        &[EventKind::Msr],
        &[EventKind::MsrRead],
        &[EventKind::Msr, EventKind::MsrRead],
    ];
    for kinds in kinds {
        let with = play("msr-conformance", 1, &all_of(kinds), continues);
        let events = with.events.len();
        assert_eq!(differences(&without, &rows(&with)), [""; 0]);
        assert_eq!(events, ROWS.len() * kinds.len(), "every row was filtered");
    }
}

#[test]
fn continuing_one_filtered_msr_changes_nothing() {
    if !has_kvm() {
        return;
    }
    let without = rows(&play("msr-conformance", 1, &nothing(), continues));
    let numbers: std::collections::BTreeSet<_> = ROWS.iter().map(|row| row.msr).collect();
    for msr in numbers {
        let wants: [Wants; 2] = [writes_of(msr), reads_of(msr)];
        for wants in wants {
            let with = play("msr-conformance", 1, &wants, continues);
            assert_eq!(differences(&without, &rows(&with)), [""; 0], "MSR {msr:#x}");
        }
    }
}
