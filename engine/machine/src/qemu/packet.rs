//! Packets of the gdb remote protocol: bytes in, packets out, and the other way. Reads and writes
//! no socket, and knows nothing of what a packet means.
//!
//! ```text
//!   $ data # checksum      the sum of the data's bytes modulo 256, two hexadecimal digits
//! ```
//! In an answer `}` escapes a byte (the next one XOR 0x20), and `*` repeats the byte before it (the
//! next one's value less 29 times): GDB manual, "Overview" of the remote protocol.

use thiserror::Error;

/// The longest packet that is taken from a peer. QEMU's are at most 4 KiB (its `PacketSize`); a
/// repeated byte may make one longer here.
pub const LONGEST: usize = 64 << 10;

const ESCAPE: u8 = b'}';
const REPEAT: u8 = b'*';

/// Something that a peer has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A packet whose checksum is right: its data.
    Packet(Vec<u8>),
    /// It has our last packet.
    Ack,
    /// It wants our last packet again.
    Again,
}

/// What a peer sends is no packet.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PacketError {
    /// Longer than [`LONGEST`].
    #[error("it sends a packet of more than {LONGEST} bytes")]
    TooLong,
    /// The sum of its bytes is another.
    #[error("the checksum of a packet is wrong")]
    Checksum,
    /// Nothing begins with this byte.
    #[error("it sends {0:#04x} where a packet begins")]
    Garbage(u8),
}

/// Takes packets out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Packets {
    bytes: Vec<u8>,
}

impl Packets {
    /// Adds what has come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets what has come so far.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The next whole item; none: more bytes are needed.
    ///
    /// # Errors
    /// [`PacketError`]; then the stream is of no use any more.
    pub fn next_item(&mut self) -> Result<Option<Item>, PacketError> {
        let Some(&first) = self.bytes.first() else {
            return Ok(None);
        };
        match first {
            b'+' => Ok(Some(self.short(Item::Ack))),
            b'-' => Ok(Some(self.short(Item::Again))),
            b'$' => self.packet(),
            other => Err(PacketError::Garbage(other)),
        }
    }

    fn short(&mut self, item: Item) -> Item {
        self.bytes.remove(0);
        item
    }

    fn packet(&mut self) -> Result<Option<Item>, PacketError> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'#') else {
            return if self.bytes.len() > LONGEST {
                Err(PacketError::TooLong)
            } else {
                Ok(None)
            };
        };
        if end > LONGEST {
            return Err(PacketError::TooLong);
        }
        let Some(sum) = self.bytes.get(end + 1..end + 3) else {
            return Ok(None);
        };
        let sum = number(sum).ok_or(PacketError::Checksum)?;
        let raw = self.bytes.get(1..end).unwrap_or_default();
        if u64::from(checksum(raw)) != sum {
            return Err(PacketError::Checksum);
        }
        let data = unfold(raw)?;
        self.bytes.drain(..end + 3);
        Ok(Some(Item::Packet(data)))
    }
}

/// The bytes of a packet with this data, in which nothing needs escaping.
pub fn framed(data: &str) -> Vec<u8> {
    format!("${data}#{:02x}", checksum(data.as_bytes())).into_bytes()
}

/// The data without escapes and repetitions.
fn unfold(raw: &[u8]) -> Result<Vec<u8>, PacketError> {
    let mut data: Vec<u8> = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            ESCAPE => data.extend(bytes.next().map(|escaped| escaped ^ 0x20)),
            REPEAT => {
                let times = usize::from(bytes.next().unwrap_or(0).saturating_sub(29));
                let last = data.last().copied().ok_or(PacketError::Garbage(REPEAT))?;
                data.extend(std::iter::repeat_n(last, times));
            }
            plain => data.push(plain),
        }
        if data.len() > LONGEST {
            return Err(PacketError::TooLong);
        }
    }
    Ok(data)
}

fn checksum(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A hexadecimal number, the highest digit first.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let plain = text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| plain)
}

/// Bytes as pairs of hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of pairs of hexadecimal digits; none if it is something else.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::try_from(number(pair)?).ok();
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<Item>, PacketError> {
        let mut packets = Packets::default();
        packets.feed(bytes);
        std::iter::from_fn(|| packets.next_item().transpose()).collect()
    }

    #[test]
    fn a_packet_that_comes_by_halves_is_whole_in_the_end() {
        let mut packets = Packets::default();
        for byte in b"+$T05thread:01;#0" {
            packets.feed(&[*byte]);
            let item = packets.next_item().unwrap();
            assert!(matches!(item, None | Some(Item::Ack)), "{item:?}");
        }
        packets.feed(b"7");
        let whole = Item::Packet(b"T05thread:01;".to_vec());
        assert_eq!(packets.next_item(), Ok(Some(whole)));
        assert_eq!(packets.next_item(), Ok(None));
    }

    #[test]
    fn what_is_no_packet_is_an_error_and_nothing_worse() {
        for (bytes, error) in [
            (&b"$OK#9b"[..], PacketError::Checksum),
            (b"$OK#zz", PacketError::Checksum),
            (b"hello", PacketError::Garbage(b'h')),
            (b"$*\x7f#a9", PacketError::Garbage(b'*')),
        ] {
            assert_eq!(all(bytes), Err(error), "{bytes:?}");
        }
        let endless = [b"$".as_slice(), &vec![b'a'; LONGEST + 1]].concat();
        assert_eq!(all(&endless), Err(PacketError::TooLong));
    }

    #[test]
    fn escapes_and_repetitions_are_undone() {
        assert_eq!(unfold(b"0* 1}\x03"), Ok(b"00001#".to_vec()));
        let many = [b"a".as_slice(), &b"*~".repeat(2000)].concat();
        assert_eq!(unfold(&many), Err(PacketError::TooLong));
    }

    #[test]
    fn bytes_and_their_digits_go_both_ways() {
        assert_eq!(unhex(b"00ffA5"), Some(vec![0, 0xff, 0xa5]));
        assert_eq!(hex(&[0, 0xff, 0xa5]), "00ffa5");
        for no in [&b"0"[..], b"0g", b"+1"] {
            assert_eq!(unhex(no), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }

        #[test]
        fn what_is_framed_is_read_again(data in "[a-z0-9:;,]{0,40}") {
            let items = all(&framed(&data)).unwrap();
            prop_assert_eq!(items, vec![Item::Packet(data.into_bytes())]);
        }
    }
}
