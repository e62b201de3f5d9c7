//! Little-endian fields of a payload, one after another. It owns the position in the bytes and
//! knows which dialect they are in; what a field means is the rows' business. It never fails and
//! never panics: what is missing reads as zero.

use super::{Errno, Flaw};
use crate::Dialect;

/// Reads the fields of one payload.
///
/// Reads behind the end give zeros, because KVMI extends a short payload with zeros.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    dialect: Dialect,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of these bytes.
    pub const fn new(dialect: Dialect, bytes: &'a [u8]) -> Self {
        Self {
            dialect,
            rest: bytes,
        }
    }

    /// The dialect that the bytes are in.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many bytes have not been read.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All that has not been read.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `length` bytes; none, and nothing read, if there are fewer.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Goes over `length` bytes, or to the end.
    pub fn skip(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
    }

    /// Goes over `length` bytes that must be zero.
    ///
    /// # Errors
    /// EINVAL if one is not. Rows where the connection closes instead map it.
    pub fn padding(&mut self, length: usize) -> Result<(), Flaw> {
        let end = length.min(self.rest.len());
        let (padding, rest) = self.rest.split_at(end);
        self.rest = rest;
        match padding.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(Flaw::Errno(Errno::INVAL)),
        }
    }

    /// A byte that switches something on. v12 takes 0 and 1 only, the others any number.
    ///
    /// # Errors
    /// EINVAL in v12 if it is more than 1.
    pub fn switch(&mut self) -> Result<bool, Flaw> {
        match (self.u8(), self.dialect) {
            (2.., Dialect::V12) => Err(Flaw::Errno(Errno::INVAL)),
            (byte, _) => Ok(byte != 0),
        }
    }

    /// The next `N` bytes, zeros where there are none.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let have = N.min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(have);
        array[..have].copy_from_slice(bytes);
        self.rest = rest;
        array
    }

    /// An 8-bit number.
    pub fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    /// A 16-bit number.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A 32-bit number.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A 64-bit number.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A 32-bit number with a sign.
    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    /// A 64-bit number with a sign.
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
}

/// Writes the fields of one payload.
#[derive(Clone, Debug)]
pub struct Writer {
    dialect: Dialect,
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with nothing.
    pub const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            bytes: Vec::new(),
        }
    }

    /// The dialect to write in.
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What has been written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes have been written.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// These bytes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `length` zeros.
    pub fn padding(&mut self, length: usize) {
        self.bytes.resize(self.bytes.len() + length, 0);
    }

    /// These bytes in a field of `length`: cut, or with zeros behind.
    pub fn field(&mut self, bytes: &[u8], length: usize) {
        let bytes = bytes.get(..length).unwrap_or(bytes);
        self.raw(bytes);
        self.padding(length - bytes.len());
    }

    /// 1 or 0.
    pub fn switch(&mut self, on: bool) {
        self.u8(on.into());
    }

    /// An 8-bit number.
    pub fn u8(&mut self, number: u8) {
        self.bytes.push(number);
    }

    /// A 16-bit number.
    pub fn u16(&mut self, number: u16) {
        self.raw(&number.to_le_bytes());
    }

    /// A 32-bit number.
    pub fn u32(&mut self, number: u32) {
        self.raw(&number.to_le_bytes());
    }

    /// A 64-bit number.
    pub fn u64(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    /// These numbers of 64 bits.
    pub fn words(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|&number| self.u64(number));
    }

    /// A 32-bit number with a sign.
    pub fn i32(&mut self, number: i32) {
        self.raw(&number.to_le_bytes());
    }

    /// A 64-bit number with a sign.
    pub fn i64(&mut self, number: i64) {
        self.raw(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_reads_as_zero() {
        let mut reader = Reader::new(Dialect::V7, &[1, 2, 3]);
        assert_eq!(reader.u16(), 0x0201);
        assert_eq!(reader.u32(), 3, "a field cut in two keeps what is there");
        assert_eq!(reader.u64(), 0);
        assert_eq!(reader.padding(9), Ok(()));
        assert_eq!(reader.remaining(), 0);
    }

    #[test]
    fn a_list_that_is_cut_is_not_taken() {
        let mut reader = Reader::new(Dialect::V7, &[1, 2, 3]);
        assert_eq!(reader.take(4), None);
        assert_eq!(reader.take(2), Some([1_u8, 2].as_slice()));
        assert_eq!(reader.rest(), [3_u8]);
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn padding_must_be_zero() {
        let mut reader = Reader::new(Dialect::V7, &[0, 0, 1, 7]);
        assert_eq!(reader.padding(2), Ok(()));
        assert_eq!(reader.padding(1), Err(Flaw::Errno(Errno::INVAL)));
        assert_eq!(reader.u8(), 7);
    }

    #[test]
    fn only_v12_minds_a_switch_that_is_neither_0_nor_1() {
        for dialect in Dialect::ALL {
            let two = Reader::new(dialect, &[2]).switch();
            match dialect {
                Dialect::V12 => assert_eq!(two, Err(Flaw::Errno(Errno::INVAL))),
                Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => assert_eq!(two, Ok(true)),
            }
            assert_eq!(Reader::new(dialect, &[]).switch(), Ok(false));
        }
    }

    #[test]
    fn a_field_has_its_length_whatever_is_put_into_it() {
        let mut writer = Writer::new(Dialect::V7);
        writer.field(&[1], 3);
        writer.field(&[1, 2, 3, 4], 2);
        assert_eq!(writer.into_bytes(), [1, 0, 0, 1, 2]);
    }
}
