//! Bytes that are looked at by the offsets of fields. Reads no memory by itself.

use super::Fixed;

/// A structure whose fields are found by their offsets, as debug information has them.
///
/// ```
/// use oriel_sdk::Record;
///
/// let record = Record::new(vec![7, 0, 0, 0, b'i', b'n', b'i', b't']);
/// assert_eq!(record.get::<u32>(0), Some(7));
/// assert_eq!(record.get::<u64>(4), None, "it is not that long");
/// assert_eq!(record.text(4, 4).as_deref(), Some("init"));
/// assert_eq!(record.as_bytes().len(), 8);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(Vec<u8>);

impl Record {
    /// These bytes.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The field at this offset; none if it does not lie within.
    pub fn get<T: Fixed>(&self, offset: usize) -> Option<T> {
        T::at(&self.0, offset)
    }

    /// The characters at this offset, up to a zero and at most so many: a `char comm[16]`, for
    /// instance. What is no UTF-8 is shown as U+FFFD. None if they do not lie within.
    pub fn text(&self, offset: usize, most: usize) -> Option<String> {
        let bytes = self.0.get(offset..offset.checked_add(most)?)?;
        let own = bytes.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(own).into_owned())
    }

    /// All of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
