//! The head of BTF: where types and strings are, and where each type begins. Owns the checks that
//! are made once.

use std::ops::Range;

use thiserror::Error;

use super::{MOST_TYPES, kind::Record};
use crate::words;

/// What BTF begins with, in the byte order of x86.
pub(crate) const MAGIC: [u8; 3] = [0x9f, 0xeb, 1];
/// The fields of the header up to version 1; later ones are behind them.
const LEAST: usize = 24;

/// Bytes that are no BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It does not begin as BTF does.
    #[error("this does not begin as BTF of version 1 does")]
    Magic,
    /// A part lies outside.
    #[error("the {0} of the BTF lie outside of it")]
    Outside(&'static str),
    /// A type of a kind that is not known, so that nothing behind it can be read.
    #[error("type {index} of the BTF is of an unknown kind, or cut off")]
    Kind {
        /// Which type, from 1.
        index: usize,
    },
    /// More types than anything has.
    #[error("the BTF has more than {MOST_TYPES} types")]
    TooMany,
}

/// Where the parts are, from the first byte of all on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) types: Range<usize>,
    pub(crate) strings: Range<usize>,
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = Self::claimed(bytes).ok_or(Malformed::Magic)?;
        let parts = [(&header.types, "types"), (&header.strings, "strings")];
        for (part, name) in parts {
            if bytes.get(part.clone()).is_none() {
                return Err(Malformed::Outside(name));
            }
        }
        let closed = header
            .strings
            .end
            .checked_sub(1)
            .and_then(|last| bytes.get(last));
        if header.strings.is_empty() || closed == Some(&0) {
            return Ok(header);
        }
        Err(Malformed::Outside("strings"))
    }

    /// What the first bytes say, which may lie.
    pub(crate) fn claimed(bytes: &[u8]) -> Option<Self> {
        let length = words::size_at(bytes, 4).filter(|length| *length >= LEAST)?;
        let known = bytes.starts_with(&MAGIC) && length % 4 == 0;
        let part = |at: usize| {
            let start = length.checked_add(words::size_at(bytes, at)?)?;
            Some(start..start.checked_add(words::size_at(bytes, at + 4)?)?)
        };
        known.then_some(Self {
            types: part(8)?,
            strings: part(16)?,
        })
    }

    /// How many bytes all of it takes.
    pub(crate) fn length(&self) -> usize {
        self.types.end.max(self.strings.end)
    }

    /// Where each type begins.
    pub(super) fn begins(&self, bytes: &[u8]) -> Result<Vec<u32>, Malformed> {
        let types = bytes.get(self.types.clone()).unwrap_or_default();
        let (mut begins, mut at) = (Vec::with_capacity(types.len() / 24), 0);
        while at < types.len() {
            let index = begins.len() + 1;
            let begin = u32::try_from(at).map_err(|_| Malformed::TooMany)?;
            let record = Record::at(types, at).ok_or(Malformed::Kind { index })?;
            if index > MOST_TYPES {
                return Err(Malformed::TooMany);
            }
            begins.push(begin);
            at += record.length();
        }
        Ok(begins)
    }
}
