//! A structure of the guest's, read at once: all bytes from the first to the last member that is
//! wanted. Owns the bytes, which are of one moment as far as one read is.

use oriel_protocol::Gva;

use crate::{answer::Unknown, space::Space, words};

/// The largest stretch that is read: no structure that is looked at is larger.
const MOST: u64 = 1 << 16;

/// Which bytes of a structure are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stretch {
    start: u64,
    end: u64,
}

impl Stretch {
    /// The bytes from the first to the last of these members, as offset and size.
    pub(crate) fn over(members: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut members = members.into_iter();
        let first = members.next().unwrap_or_default();
        let of = |(offset, size): (u64, u64)| (offset, offset.saturating_add(size));
        let (start, end) = members.map(of).fold(of(first), |all, next| {
            (all.0.min(next.0), all.1.max(next.1))
        });
        Self { start, end }
    }

    /// The bytes of the structure at this address.
    pub(crate) fn of(self, space: Space<'_>, base: Gva) -> Result<Record, Unknown> {
        let length = self.end - self.start;
        if length > MOST {
            return Err(Unknown::Damaged("the layout of a structure"));
        }
        let length = usize::try_from(length).unwrap_or(0);
        let bytes = space.bytes(base.wrapping_add(self.start), length)?;
        let start = self.start;
        Ok(Record { start, bytes })
    }
}

/// Bytes of a structure.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    start: u64,
    bytes: Vec<u8>,
}

impl Record {
    fn place(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.start)?).ok()
    }

    pub(crate) fn u32(&self, offset: u64) -> Option<u32> {
        words::u32_at(&self.bytes, self.place(offset)?)
    }

    pub(crate) fn u64(&self, offset: u64) -> Option<u64> {
        words::u64_at(&self.bytes, self.place(offset)?)
    }

    /// Text of at most so many bytes.
    pub(crate) fn text(&self, offset: u64, most: u64) -> Option<String> {
        let start = self.place(offset)?;
        let length = usize::try_from(most).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(length)?)?;
        Some(words::text(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_reaches_from_the_first_to_the_last_member() {
        let stretch = Stretch::over([(16, 4), (8, 8), (40, 16)]);
        assert_eq!((stretch.start, stretch.end), (8, 56));
        assert_eq!(Stretch::over([]), Stretch::default());
    }

    #[test]
    fn what_lies_outside_is_none() {
        let record = Record {
            start: 8,
            bytes: vec![1, 0, 0, 0, b'a', b'b'],
        };
        assert_eq!(record.u32(8), Some(1));
        assert_eq!(record.u32(4), None);
        assert_eq!(record.u64(8), None);
        assert_eq!(record.text(12, 2).as_deref(), Some("ab"));
        assert_eq!(record.text(12, 3), None);
    }
}
