//! The journals that are kept in `tests/data/journal`, read with today's code: what was written once
//! must say the same for ever. `engine/journal/examples/golden.rs` wrote them.

use std::{fs, path::PathBuf};

use super::*;
use crate::journal::{entry::Header, lines};

fn kept(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/journal");
    fs::read(folder.join(file)).expect("a journal that is kept")
}

/// What a journal says: a line for each record, and for each command in it.
fn told(bytes: &[u8]) -> String {
    let (header, records) = Records::of(bytes).expect("a journal of this Oriel");
    let Header {
        arch,
        name,
        vcpus,
        engine,
        began_s,
        ..
    } = header;
    let mut told = format!("{arch}, {name}, {vcpus} vCPUs, by Oriel {engine}, began {began_s}\n");
    for record in records {
        told += &format!("{}\n", lines::words(&record.entry));
        let commands = lines::commands(&record.entry);
        told.extend(commands.iter().map(|line| format!("    {line}\n")));
    }
    told
}

#[test]
fn a_journal_of_version_1_says_what_it_said() {
    let (was, is) = (kept("v1.txt"), told(&kept("v1.journal")));
    assert_eq!(is, String::from_utf8_lossy(&was));
    let recording = Recording::read(&kept("v1.journal")).unwrap();
    let (detail, lost) = ("the guest ended with 0".to_owned(), 7);
    assert_eq!(recording.ending, Ending::Whole { detail, lost });
    assert_eq!(recording.lost, 7);
}

#[test]
fn what_does_not_follow_from_an_event_is_in_it_too() {
    let recording = Recording::read(&kept("v1.journal")).unwrap();
    let seen = recording.entries.iter().find_map(|entry| {
        let Entry::Called(Called {
            at,
            asked: Asked::Judge(seen),
            ..
        }) = entry
        else {
            return None;
        };
        (Moment::from(*at).seq == 3).then_some(seen)
    });
    let Seen {
        event,
        decided,
        tag,
        ..
    } = seen.expect("the third event");
    let page = Page {
        gva: Some(0xffff_8880_0000_1008),
        gpa: 0x1008,
        access: Access::WRITE,
        size: 8,
        value: Some(1),
        view: 0,
    };
    assert_eq!(event.data, page.into());
    assert_eq!((event.ip, event.cr3), (0xffff_ffff_8100_1234, 0x1234_5000));
    assert_eq!((event.cpl, event.retired), (3, true));
    assert_eq!((*decided, *tag), (Decision::Deny, 77));
}

#[test]
fn journals_of_others_are_refused_in_words() {
    for (file, words) in [
        ("v1-aarch64.journal", "a VM with aarch64 vCPUs"),
        (
            "v2.journal",
            "version 2 of the form, and this Oriel reads version 1; it holds 30 whole records",
        ),
    ] {
        let refused = Recording::read(&kept(file)).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn half_of_it_is_read_up_to_the_last_whole_record() {
    let whole = kept("v1.journal");
    let all = Recording::read(&whole).unwrap().entries.len();
    let half = Recording::read(&whole[..whole.len() / 2]).unwrap();
    assert!(half.entries.len() > 5 && half.entries.len() < all);
    let said = half.ending.to_string();
    assert!(said.starts_with("cut off in the record at byte "), "{said}");
}

#[test]
fn whatever_byte_of_it_is_wrong_it_is_read_up_to_there() {
    let whole = kept("v1.journal");
    let (_, mut records) = Records::of(&whole).unwrap();
    let first = records.position();
    let mut ends = vec![first];
    while records.next().is_some() {
        ends.push(records.position());
    }
    for at in first..whole.len() {
        let mut wrong = whole.clone();
        wrong[at] = !wrong[at];
        let before = ends.iter().filter(|end| **end <= at).count();
        let (_, mut records) = Records::of(&wrong).unwrap();
        assert_eq!(records.by_ref().count(), before - 1, "{at}");
        assert_eq!(records.position(), ends[before - 1], "{at}");
        let ending = records.ending();
        assert!(
            matches!(ending, Ending::Corrupt(_) | Ending::Cut(_)),
            "{at}: {ending}"
        );
    }
}
