//! The bytes of every command and of its answer, row by row. It owns field order, sizes and
//! padding in each dialect; whether a request makes sense is checked after it was read
//! ([`super::checks`]).
//!
//! Numbers and offsets are those of `kvmi.h` in the kernel's and libkvmi's branches.

mod asking;
mod control;
mod memory;
mod pages;
mod registers;
mod views;

pub(super) use registers::XSAVE;

use super::{
    Close, Errno, Flaw, Malformed,
    bytes::{Reader, Writer},
};
use crate::{Dialect, Numbers, commands::Request};

/// A row of a table of commands as bytes.
///
/// A request is what stands behind the header, for vCPU commands behind the vCPU header. An answer
/// is what stands behind the error code.
pub trait Layout: Request {
    /// Whether a successful answer carries data.
    const RETURNS_DATA: bool;

    /// Reads the request.
    ///
    /// # Errors
    /// [`Flaw`] where it breaks a rule of the dialect.
    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw>;

    /// Writes the request.
    fn put(&self, to: &mut Writer);

    /// Writes the data of the answer.
    fn put_reply(answer: &Self::Reply, to: &mut Writer);

    /// Reads the data of the answer.
    ///
    /// # Errors
    /// [`Malformed`] if it makes no sense.
    fn take_reply(from: &mut Reader<'_>) -> Result<Self::Reply, Malformed>;
}

/// What stands for a row that the dialect has no number for. No dialect gives it to a row.
const UNKNOWN: u16 = 0xffff;

/// A row's number as an argument.
fn argument(dialect: Dialect, numbers: Numbers) -> u16 {
    numbers.of(dialect).unwrap_or(UNKNOWN)
}

/// A number of entries. Longer lists than 16 bits count are longer than any message.
fn count(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// The entries of a list, `size` bytes each.
///
/// # Errors
/// If there are fewer: EINVAL, in v12 the connection closes.
fn entries<'a>(
    from: &mut Reader<'a>,
    command: &'static str,
    count: u16,
    size: usize,
) -> Result<impl Iterator<Item = Reader<'a>> + use<'a>, Flaw> {
    let dialect = from.dialect();
    let announced = usize::from(count) * size;
    let had = from.remaining();
    let Some(bytes) = from.take(announced) else {
        return Err(match dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Errno::INVAL.into(),
            Dialect::V12 => short(command, announced as u64, had),
        });
    };
    let entries = bytes.chunks_exact(size);
    Ok(entries.map(move |entry| Reader::new(dialect, entry)))
}

/// There is less than announced, where that closes the connection.
fn short(command: &'static str, announced: u64, had: usize) -> Flaw {
    Flaw::Close(Close::Short {
        command,
        announced,
        had,
    })
}

/// Refuses an answer that has less data than its fields need.
fn at_least(from: &Reader<'_>, what: &'static str, least: usize) -> Result<(), Malformed> {
    match from.remaining() {
        had if had < least => Err(Malformed::Short { what, had, least }),
        _ => Ok(()),
    }
}

/// The layout of a row whose answer is empty.
macro_rules! no_data {
    () => {
        const RETURNS_DATA: bool = false;
        fn put_reply((): &(), _: &mut $crate::kvmi::bytes::Writer) {}
        fn take_reply(
            _: &mut $crate::kvmi::bytes::Reader<'_>,
        ) -> Result<(), $crate::kvmi::Malformed> {
            Ok(())
        }
    };
}

/// The layout of a row that asks for nothing in particular.
macro_rules! no_request {
    ($row:ident) => {
        fn take(_: &mut $crate::kvmi::bytes::Reader<'_>) -> Result<Self, $crate::kvmi::Flaw> {
            Ok($row {})
        }
        fn put(&self, _: &mut $crate::kvmi::bytes::Writer) {}
    };
}

/// The layout of an answer that is one number of 64 bits.
macro_rules! word_data {
    () => {
        const RETURNS_DATA: bool = true;
        fn put_reply(word: &u64, to: &mut $crate::kvmi::bytes::Writer) {
            to.u64(*word);
        }
        fn take_reply(
            from: &mut $crate::kvmi::bytes::Reader<'_>,
        ) -> Result<u64, $crate::kvmi::Malformed> {
            super::at_least(from, <Self as $crate::Request>::ID.name(), 8)?;
            Ok(from.u64())
        }
    };
}

use {no_data, no_request, word_data};
