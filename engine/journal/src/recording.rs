//! A journal that is read: up to the last record that is whole, and it says where that was. Bytes
//! that make no sense end it; they never make it panic.

mod order;

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    codec,
    entry::{ARCH, Entry, Header, MAGIC, VERSION, tables},
    frame::{self, Frame},
};

/// The bytes before the first record.
const PREAMBLE: usize = MAGIC.len() + 2;

/// Why a file is not read at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JournalError {
    /// It begins otherwise.
    #[error("it is no journal of Oriel: `oriel run --record FILE` writes one")]
    NotAJournal,
    /// It was written in another form.
    #[error(
        "it has version {version} of the form, and this Oriel reads version {VERSION}; it holds {records} whole records: read it with the Oriel that wrote it"
    )]
    Version {
        /// Which.
        version: u16,
        /// Records whose checksums are right.
        records: u64,
    },
    /// It ends before its first record does.
    #[error("it ends before it has said whose journal it is: nothing can be read of it")]
    Headless,
    /// It is of a VM of another architecture.
    #[error("it is of a VM with {0} vCPUs, and this Oriel knows {ARCH} only")]
    Arch(String),
    /// Its commands and events are numbered otherwise.
    #[error(
        "it was written by Oriel {engine}, whose commands and events are not numbered as here: read it with that one"
    )]
    Tables {
        /// The version that wrote it.
        engine: String,
    },
}

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With its last record.
    Whole {
        /// How the VM ended.
        detail: String,
        /// Calls that are missing in all.
        lost: u64,
    },
    /// Behind a whole record, without the last one: whoever wrote it was killed, or writes still.
    Open,
    /// Within a record, which begins at this byte.
    Cut(usize),
    /// At this byte begins what is not as it was written.
    Corrupt(usize),
    /// At this byte begins a record that a newer Oriel wrote.
    Unknown(usize),
    /// Behind its last record, which ends at this byte, there is more.
    Trailing(usize),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole { detail, lost: 0 } => write!(out, "whole; the VM ended: {detail}"),
            Self::Whole { detail, lost } => {
                write!(
                    out,
                    "whole, but for {lost} lost calls; the VM ended: {detail}"
                )
            }
            Self::Open => {
                out.write_str("it has no last record: its writer was stopped, or writes still")
            }
            Self::Cut(at) => write!(out, "cut off in the record at byte {at}; read up to there"),
            Self::Corrupt(at) => write!(out, "corrupt from byte {at} on; read up to there"),
            Self::Unknown(at) => write!(
                out,
                "a record of a kind unknown here, most likely a newer Oriel's, at byte {at}; read up to there"
            ),
            Self::Trailing(at) => write!(
                out,
                "more bytes behind its end at byte {at}, which are not read"
            ),
        }
    }
}

/// Reads a journal record by record.
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    ending: Option<Ending>,
}

/// One record with the bytes of its frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    /// What it says.
    pub entry: Entry,
    /// The frame.
    pub frame: &'a [u8],
}

impl<'a> Records<'a> {
    /// Begins, and answers whose journal it is.
    ///
    /// # Errors
    /// [`JournalError`] if that is not said, or is not for this Oriel.
    pub fn of(bytes: &'a [u8]) -> Result<(Header, Self), JournalError> {
        let version = preamble(bytes)?;
        let mut records = Self {
            bytes,
            at: PREAMBLE,
            ending: None,
        };
        if version != VERSION {
            let records = records.count_frames();
            return Err(JournalError::Version { version, records });
        }
        match records.next().map(|record| record.entry) {
            Some(Entry::Header(header)) => check(&header).map(|()| (*header, records)),
            Some(_) | None => Err(JournalError::Headless),
        }
    }

    /// How it ends, once there is no next record.
    pub fn ending(&self) -> Ending {
        self.ending.clone().unwrap_or(Ending::Open)
    }

    /// Up to which byte it has been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Whole frames, whatever they say.
    fn count_frames(&mut self) -> u64 {
        let mut count = 0;
        while let Frame::Whole(_, used) = frame::take(self.rest()) {
            self.at += used;
            count += 1;
        }
        count
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn end(&mut self, ending: Ending) -> Option<Record<'a>> {
        self.ending = Some(ending);
        None
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let rest = self.rest();
        match &self.ending {
            Some(Ending::Whole { .. }) if !rest.is_empty() => {
                return self.end(Ending::Trailing(self.at));
            }
            Some(_) => return None,
            None if rest.is_empty() => return self.end(Ending::Open),
            None => {}
        }
        let (content, used) = match frame::take(rest) {
            Frame::Whole(content, used) => (content, used),
            Frame::Cut => return self.end(Ending::Cut(self.at)),
            Frame::Corrupt => return self.end(Ending::Corrupt(self.at)),
        };
        let Some(entry) = codec::whole::<Entry>(content) else {
            return self.end(Ending::Unknown(self.at));
        };
        self.at += used;
        if let Entry::End { detail, lost } = &entry {
            let (detail, lost) = (detail.clone(), *lost);
            self.ending = Some(Ending::Whole { detail, lost });
        }
        let frame = rest.get(..used).unwrap_or_default();
        Some(Record { entry, frame })
    }
}

fn preamble(bytes: &[u8]) -> Result<u16, JournalError> {
    let Some((magic, rest)) = bytes.split_first_chunk() else {
        return Err(JournalError::NotAJournal);
    };
    if *magic != MAGIC {
        return Err(JournalError::NotAJournal);
    }
    let version = rest.first_chunk().ok_or(JournalError::Headless)?;
    Ok(u16::from_le_bytes(*version))
}

fn check(header: &Header) -> Result<(), JournalError> {
    if header.arch != ARCH {
        return Err(JournalError::Arch(header.arch.clone()));
    }
    if header.tables != tables() {
        let engine = header.engine.clone();
        return Err(JournalError::Tables { engine });
    }
    Ok(())
}

/// The bytes that a journal begins with, before its first record.
pub fn beginning(bytes: &[u8]) -> &[u8] {
    bytes.get(..PREAMBLE).unwrap_or(bytes)
}

/// A frame with this record, for a journal that is put together anew; nothing if it is larger than a
/// record may be.
pub fn framed(entry: &Entry) -> Vec<u8> {
    let mut content = Vec::new();
    let mut bytes = Vec::new();
    if codec::put(entry, &mut content) {
        frame::put(&content, &mut bytes);
    }
    bytes
}

/// A journal that has been read, in the order in which things happened.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Whose it is.
    pub header: Header,
    /// What was asked and answered.
    pub entries: Vec<Entry>,
    /// How it ends.
    pub ending: Ending,
    /// Calls that are missing, as far as was read.
    pub lost: u64,
}

impl Recording {
    /// Reads all of it.
    ///
    /// # Errors
    /// As [`Records::of`].
    pub fn read(bytes: &[u8]) -> Result<Self, JournalError> {
        let (header, mut records) = Records::of(bytes)?;
        let entries: Vec<_> = records.by_ref().map(|record| record.entry).collect();
        let lost = |entry: &Entry| match entry {
            Entry::Lost { count, .. } => *count,
            Entry::Header(_) | Entry::Begun(_) | Entry::Called(_) | Entry::Missed(_) => 0,
            Entry::Gone { .. } | Entry::End { .. } => 0,
        };
        Ok(Self {
            header,
            lost: entries.iter().map(lost).sum(),
            entries: order::in_order(entries),
            ending: records.ending(),
        })
    }

    /// The policies that it has instances of.
    pub fn policies(&self) -> BTreeSet<&str> {
        let begun = self.entries.iter().filter_map(|entry| match entry {
            Entry::Begun(begun) => Some(begun.policy.as_str()),
            Entry::Called(_) | Entry::Missed(_) | Entry::Header(_) => None,
            Entry::Gone { .. } | Entry::Lost { .. } | Entry::End { .. } => None,
        });
        begun.collect()
    }

    /// What there is of one policy.
    #[must_use]
    pub fn of_policy(mut self, policy: &str) -> Self {
        let mut others = BTreeSet::new();
        self.entries.retain(|entry| match entry {
            Entry::Begun(begun) if begun.policy == policy => true,
            Entry::Begun(begun) => {
                others.insert(begun.instance);
                false
            }
            Entry::Called(called) => !others.contains(&called.instance),
            Entry::Gone { instance } => !others.contains(instance),
            Entry::Missed(missed) => missed.policy == policy,
            Entry::Header(_) | Entry::Lost { .. } | Entry::End { .. } => true,
        });
        self
    }
}
