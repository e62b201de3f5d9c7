//! A journal, as a file of anybody's.

use oriel_journal::{
    Ending, Entry, Recording,
    entry::said,
    recording::{Record, Records, beginning, framed},
};

/// Reads it, and reads again what was read.
///
/// # Panics
/// If a record that was read does not read the same once it is written, or the whole records of a
/// journal are not a journal.
pub fn run(data: &[u8]) {
    let (header, mut records) = match Records::of(data) {
        Ok(read) => read,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut whole = beginning(data).to_vec();
    whole.extend(framed(&Entry::Header(Box::new(header.clone()))));
    let mut entries = 0;
    for record in records.by_ref() {
        written_again(&record);
        whole.extend_from_slice(record.frame);
        entries += 1;
    }
    assert!(records.position() <= data.len());
    assert!(!records.ending().to_string().is_empty());
    let recording = Recording::read(data).expect("it has been read before");
    assert_eq!(recording.entries.len(), entries, "the order loses nothing");
    up_to_there(&whole, &recording);
}

fn written_again(record: &Record<'_>) {
    let again = framed(&record.entry);
    // Bytes that say the same in a longer way are read too.
    assert!(again.len() <= record.frame.len());
    if let Entry::Called(called) = &record.entry {
        assert!(said(&called.said).len() <= called.said.len());
    }
}

/// What was read is a journal of its own, which ends behind its last record.
fn up_to_there(whole: &[u8], recording: &Recording) {
    let again = Recording::read(whole).expect("whole records are a journal");
    assert_eq!(again.header, recording.header);
    assert_eq!(again.entries, recording.entries);
    assert!(matches!(again.ending, Ending::Open | Ending::Whole { .. }));
}
