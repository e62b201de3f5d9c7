//! The bytes of a run, taken from the front. What is missing reads as zero, so that short inputs
//! are inputs too.

use oriel_protocol::{
    Dialect,
    kvmi::frame::{HEADER, Header},
};

/// What is left of the bytes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

/// A message of a stream; its last one may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) header: Header,
    pub(crate) payload: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// All that is left, which stays.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next bytes, as many as there are up to `most`.
    pub(crate) fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// The error code that a reply begins with.
    pub(crate) fn error(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    /// A dialect, and six bits that are left of its byte.
    pub(crate) fn dialect(&mut self) -> (Dialect, u8) {
        let byte = self.u8();
        (Dialect::ALL[usize::from(byte % 4)], byte / 4)
    }

    /// The next message; none if not even a header is left.
    pub(crate) fn frame(&mut self) -> Option<Frame<'a>> {
        if self.0.len() < HEADER {
            return None;
        }
        let header = Header::read(self.array());
        let payload = self.take(header.size.into());
        Some(Frame { header, payload })
    }
}
