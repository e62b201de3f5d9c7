//! The bytes of a journal's records: bincode 2 with numbers of variable length. The only module that
//! calls it; the tables and records elsewhere only derive what it needs.

use bincode::{
    Decode, Encode,
    config::{Configuration, LittleEndian, Varint},
    enc::write::Writer,
    error::EncodeError,
};

/// The most bytes that a record's lists may ask for: what a file claims is not believed beyond.
pub const MOST: usize = 64 << 20;

const FORM: Configuration<LittleEndian, Varint, bincode::config::Limit<MOST>> =
    bincode::config::standard().with_limit::<MOST>();

/// Writes behind what is there.
struct Behind<'a>(&'a mut Vec<u8>);

impl Writer for Behind<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends a value; false, and nothing, if it is larger than a record may be.
#[inline]
pub fn put(value: &impl Encode, to: &mut Vec<u8>) -> bool {
    let before = to.len();
    let put = bincode::encode_into_writer(value, Behind(to), FORM);
    let well = put.is_ok() && to.len() - before <= MOST;
    if !well {
        to.truncate(before);
    }
    well
}

/// Reads a value, and says how many bytes it took; none if they make no sense.
pub fn take<T: Decode<()>>(bytes: &[u8]) -> Option<(T, usize)> {
    bincode::decode_from_slice(bytes, FORM).ok()
}

/// Reads a value that takes all of the bytes.
pub fn whole<T: Decode<()>>(bytes: &[u8]) -> Option<T> {
    let (value, used) = take(bytes)?;
    (used == bytes.len()).then_some(value)
}
