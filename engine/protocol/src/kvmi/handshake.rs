//! What is said before the first message: the VM introduces itself, the tool answers with a
//! cookie. It owns these two structs; who connects, waits and compares cookies is the connection's
//! business.

use thiserror::Error;

use super::bytes::{Reader, Writer};
use crate::Dialect;

/// Bytes of a size field, which comes first in both directions.
const SIZE_FIELD: usize = 4;
/// Bytes of the name, its NUL included.
const NAME: usize = 64;
/// The sizes that a hello of a VM may have, as libkvmi accepts them.
const HELLO_SIZES: std::ops::RangeInclusive<u32> = 32..=65_536;
/// The sizes that an answer may have.
const ANSWER_SIZES: std::ops::RangeInclusive<u32> = 24..=65_536;

/// Why a handshake fails.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// The size makes no sense.
    #[error(
        "the {who} calls its handshake {size} bytes long, which is not between {least} and {most}: \
         is it a KVMI {who} at all?"
    )]
    Size {
        /// Who.
        who: &'static str,
        /// The size it gives.
        size: u32,
        /// The least it may be.
        least: u32,
        /// The most it may be.
        most: u32,
    },
    /// The size makes sense with its bytes in the other order.
    #[error(
        "the {who} seems to run on a big-endian host: it calls its handshake {swapped} bytes long \
         with the bytes in the other order; KVMI is spoken between hosts of one byte order"
    )]
    ByteOrder {
        /// Who.
        who: &'static str,
        /// The size with its bytes swapped.
        swapped: u32,
    },
}

/// How a VM introduces itself (`qemu2introspector`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The VM's UUID, in the order in which it is written.
    pub uuid: [u8; 16],
    /// When the VM started, in seconds since 1970.
    pub start_time: i64,
    /// The VM's name; at most 63 bytes of it go over the wire.
    pub name: String,
    /// The end of guest memory in bytes. Only v12 carries it; 0 elsewhere.
    pub max_gpa: u64,
}

/// A hello as a tool has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// What it says.
    pub hello: Hello,
    /// How many bytes it had: 96 in rfc6, v6 and v7; 104 in v12.
    pub size: usize,
}

impl Greeting {
    /// Whether only v12 says as much.
    pub const fn is_v12(&self) -> bool {
        self.size >= Hello::size_in(Dialect::V12)
    }
}

impl Hello {
    /// Bytes of the size field.
    pub const SIZE_FIELD: usize = SIZE_FIELD;

    const fn size_in(dialect: Dialect) -> usize {
        match dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => 96,
            Dialect::V12 => 104,
        }
    }

    /// Its bytes: 96, in v12 104.
    pub fn write(&self, dialect: Dialect) -> Vec<u8> {
        let mut to = Writer::new(dialect);
        to.raw(&size_field(Self::size_in(dialect)));
        to.raw(&self.uuid);
        to.padding(4);
        to.i64(self.start_time);
        to.field(shortened(&self.name, NAME - 1).as_bytes(), NAME);
        if dialect == Dialect::V12 {
            to.u64(self.max_gpa);
        }
        to.into_bytes()
    }

    /// How many bytes the hello has in all, by its first four.
    ///
    /// # Errors
    /// [`HandshakeError`] if the size is impossible.
    pub fn size(first: [u8; SIZE_FIELD]) -> Result<usize, HandshakeError> {
        size("VM", first, HELLO_SIZES)
    }

    /// Out of all its bytes, the size field included. What is missing is zero, what is more than
    /// v12 has is passed over, and the name ends within its field.
    pub fn read(bytes: &[u8]) -> Greeting {
        let mut from = Reader::new(Dialect::V12, bytes);
        from.skip(SIZE_FIELD);
        let uuid = from.array();
        from.skip(4);
        let start_time = from.i64();
        let name = name_in(&from.array::<NAME>());
        let max_gpa = from.u64();
        Greeting {
            hello: Self {
                uuid,
                start_time,
                name,
                max_gpa,
            },
            size: bytes.len(),
        }
    }
}

/// How a tool answers (`introspector2qemu`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The SHA-1 of the secret that both sides share; zeros where there is none.
    pub cookie: [u8; 20],
}

impl Answer {
    /// Bytes of the size field.
    pub const SIZE_FIELD: usize = SIZE_FIELD;
    /// Bytes of the answer that we write.
    pub const SIZE: usize = 24;

    /// How many bytes the answer has in all, by its first four.
    ///
    /// # Errors
    /// [`HandshakeError`] if the size is impossible.
    pub fn size(first: [u8; SIZE_FIELD]) -> Result<usize, HandshakeError> {
        size("tool", first, ANSWER_SIZES)
    }

    /// Out of all its bytes, the size field included. What is missing is zero, what is more is
    /// passed over.
    pub fn read(bytes: &[u8]) -> Self {
        let mut from = Reader::new(Dialect::V7, bytes);
        from.skip(SIZE_FIELD);
        Self {
            cookie: from.array(),
        }
    }

    /// Its 24 bytes.
    pub fn write(&self) -> Vec<u8> {
        let mut to = Writer::new(Dialect::V7);
        to.raw(&size_field(Self::SIZE));
        to.raw(&self.cookie);
        to.into_bytes()
    }
}

fn size_field(size: usize) -> [u8; SIZE_FIELD] {
    u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes()
}

fn size(
    who: &'static str,
    first: [u8; SIZE_FIELD],
    sizes: std::ops::RangeInclusive<u32>,
) -> Result<usize, HandshakeError> {
    let size = u32::from_le_bytes(first);
    let swapped = size.swap_bytes();
    if sizes.contains(&size) {
        return Ok(usize::try_from(size).unwrap_or(usize::MAX));
    }
    if sizes.contains(&swapped) {
        return Err(HandshakeError::ByteOrder { who, swapped });
    }
    Err(HandshakeError::Size {
        who,
        size,
        least: *sizes.start(),
        most: *sizes.end(),
    })
}

/// The beginning of a name in at most `most` bytes, no character cut in two.
fn shortened(name: &str, most: usize) -> &str {
    let end = (0..=most.min(name.len())).rev();
    let end = end.into_iter().find(|&end| name.is_char_boundary(end));
    name.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The name in its field: up to the first NUL, and the last byte is one whatever is there.
fn name_in(field: &[u8; NAME]) -> String {
    let text = &field[..NAME - 1];
    let end = text.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&text[..end.unwrap_or(text.len())]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            uuid: *b"0123456789abcdef",
            start_time: 0x1122_3344_5566_7788,
            name: "web-1".into(),
            max_gpa: 0x1_4000_0000,
        }
    }

    #[test]
    fn a_hello_has_96_bytes_and_104_in_v12() {
        for dialect in Dialect::ALL {
            let bytes = hello().write(dialect);
            let expected = if dialect == Dialect::V12 { 104 } else { 96 };
            assert_eq!(bytes.len(), expected);
            assert_eq!(
                Hello::size([bytes[0], bytes[1], bytes[2], bytes[3]]),
                Ok(expected)
            );
            assert_eq!(&bytes[4..20], b"0123456789abcdef");
            assert_eq!(bytes[20..24], [0; 4]);
            assert_eq!(bytes[24..32], 0x1122_3344_5566_7788_i64.to_le_bytes());
            assert_eq!(&bytes[32..38], b"web-1\0");
        }
        let v12 = hello().write(Dialect::V12);
        assert_eq!(v12[96..], 0x1_4000_0000_u64.to_le_bytes());
    }

    #[test]
    fn a_tool_knows_v12_by_the_size() {
        let greeting = Hello::read(&hello().write(Dialect::V12));
        assert!(greeting.is_v12());
        assert_eq!(greeting.hello, hello());
        let greeting = Hello::read(&hello().write(Dialect::V7));
        assert!(!greeting.is_v12());
        assert_eq!(
            greeting.hello,
            Hello {
                max_gpa: 0,
                ..hello()
            }
        );
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_always_ends() {
        let name = "é".repeat(40);
        let bytes = Hello { name, ..hello() }.write(Dialect::V7);
        assert_eq!(bytes.len(), 96);
        assert_eq!(Hello::read(&bytes).hello.name, "é".repeat(31));
        let mut endless = hello().write(Dialect::V7);
        endless[32..96].fill(b'x');
        assert_eq!(Hello::read(&endless).hello.name, "x".repeat(63));
    }

    #[test]
    fn a_short_hello_is_extended_with_zeros() {
        let bytes = hello().write(Dialect::V7);
        let hello = Hello::read(&bytes[..34]).hello;
        assert_eq!(hello.name, "we");
        assert_eq!(hello.max_gpa, 0);
    }

    #[test]
    fn sizes_are_bounded_and_a_foreign_byte_order_is_told_apart() {
        let sizes = [(31, false), (32, true), (65_536, true), (65_537, false)];
        for (size, good) in sizes {
            assert_eq!(Hello::size(u32::to_le_bytes(size)).is_ok(), good, "{size}");
        }
        let sizes = [(23, false), (24, true), (65_536, true), (65_537, false)];
        for (size, good) in sizes {
            assert_eq!(Answer::size(u32::to_le_bytes(size)).is_ok(), good, "{size}");
        }
        let swapped = Answer::size(24_u32.to_be_bytes()).unwrap_err();
        assert_eq!(
            swapped,
            HandshakeError::ByteOrder {
                who: "tool",
                swapped: 24
            }
        );
        assert!(swapped.to_string().contains("big-endian"));
        let garbage = Answer::size(*b"GET ").unwrap_err();
        assert!(matches!(garbage, HandshakeError::Size { .. }));
    }

    #[test]
    fn an_answer_has_24_bytes_and_may_have_more() {
        let answer = Answer { cookie: [7; 20] };
        let mut bytes = answer.write();
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[..4], [24, 0, 0, 0]);
        bytes.extend([9; 8]);
        assert_eq!(Answer::read(&bytes), answer);
    }
}
