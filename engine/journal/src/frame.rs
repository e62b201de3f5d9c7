//! Frames: a length, a checksum, and so many bytes. What is not whole is not read.

/// The bytes of a checksum: CRC-32 of the content, little-endian.
const CHECKSUM: usize = 4;
/// A length has seven bits a byte, the lowest first, and no more bytes than this.
const LENGTH_MOST: usize = 5;

/// Appends a frame with this content.
pub fn put(content: &[u8], to: &mut Vec<u8>) {
    let mut length = content.len();
    while length >= 0x80 {
        to.push(low(length) | 0x80);
        length >>= 7;
    }
    to.push(low(length));
    to.extend_from_slice(&crc32fast::hash(content).to_le_bytes());
    to.extend_from_slice(content);
}

/// The lowest seven bits.
const fn low(length: usize) -> u8 {
    length.to_le_bytes()[0] & 0x7f
}

/// What is at the beginning of these bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole frame, and how many bytes it takes.
    Whole(&'a [u8], usize),
    /// The bytes end before the frame does.
    Cut,
    /// They are not those that were written.
    Corrupt,
}

/// Reads a frame.
pub fn take(bytes: &[u8]) -> Frame<'_> {
    let Some((length, head)) = length(bytes) else {
        return if bytes.len() < LENGTH_MOST {
            Frame::Cut
        } else {
            Frame::Corrupt
        };
    };
    if length > crate::codec::MOST {
        return Frame::Corrupt;
    }
    let end = head + CHECKSUM + length;
    let (Some(sum), Some(content)) = (
        bytes.get(head..head + CHECKSUM),
        bytes.get(head + CHECKSUM..end),
    ) else {
        return Frame::Cut;
    };
    if crc32fast::hash(content).to_le_bytes() != sum {
        return Frame::Corrupt;
    }
    Frame::Whole(content, end)
}

/// The length, and how many bytes say it.
fn length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0_usize;
    for (at, byte) in bytes.iter().take(LENGTH_MOST).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((length, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_comes_back() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 3 << 20] {
            let content: Vec<u8> = (0..length).map(|at| low(at * 7)).collect();
            let mut bytes = Vec::new();
            put(&content, &mut bytes);
            assert_eq!(take(&bytes), Frame::Whole(&content, bytes.len()));
            assert_eq!(take(&bytes[..bytes.len() - 1]), Frame::Cut);
        }
    }

    #[test]
    fn a_flipped_bit_shows() {
        let mut bytes = Vec::new();
        put(b"what was written", &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(take(&flipped), Frame::Whole(..)), "bit {bit}");
        }
    }
}
