//! The order in which things happened. In the file, the records of one ring are in order and those of
//! several are as the writer came by: an instance's own order is kept, and times decide between
//! instances.

use std::collections::HashMap;

use crate::entry::Entry;

/// The records about one instance; those that are about none are their own.
#[derive(Default)]
struct Strand(Vec<(u64, Entry)>);

/// Puts records in the order in which things happened.
pub(super) fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let mut strands: HashMap<u64, Strand> = HashMap::new();
    let mut others = Vec::new();
    let mut latest = 0;
    for entry in entries {
        latest = entry.time_ns().unwrap_or(latest).max(latest);
        match instance(&entry) {
            Some(number) => strands.entry(number).or_default().0.push((0, entry)),
            // Where it stands in the file is all that is known of when it was.
            None => others.push((entry.time_ns().unwrap_or(latest), entry)),
        }
    }
    let mut strands: Vec<_> = strands.into_iter().collect();
    strands.sort_unstable_by_key(|(number, _)| *number);
    let strands = strands.into_iter().map(|(_, strand)| strand.settled());
    let mut all: Vec<_> = strands.flatten().chain(others).collect();
    all.sort_by_key(|(time, _)| *time);
    all.into_iter().map(|(_, entry)| entry).collect()
}

/// Which instance it is about, if it is about one.
const fn instance(entry: &Entry) -> Option<u64> {
    match entry {
        Entry::Begun(begun) if begun.instance != 0 => Some(begun.instance),
        Entry::Called(called) => Some(called.instance),
        Entry::Gone { instance } => Some(*instance),
        Entry::Begun(_) | Entry::Missed(_) | Entry::Header(_) => None,
        Entry::Lost { .. } | Entry::End { .. } => None,
    }
}

impl Strand {
    /// In the instance's own order, with times that do not go back.
    fn settled(self) -> Vec<(u64, Entry)> {
        let mut entries = self.0;
        entries.sort_by_key(|(_, entry)| rank(entry));
        let mut time = 0;
        for (at, entry) in &mut entries {
            time = entry.time_ns().unwrap_or(time).max(time);
            *at = time;
        }
        entries
    }
}

/// First it begins, last it goes; calls of a shared instance have numbers.
const fn rank(entry: &Entry) -> (u8, u64) {
    match entry {
        Entry::Begun(_) => (0, 0),
        Entry::Called(called) => (1, called.turn),
        Entry::Gone { .. } => (2, 0),
        Entry::Missed(_) | Entry::Header(_) | Entry::Lost { .. } | Entry::End { .. } => (1, 0),
    }
}
