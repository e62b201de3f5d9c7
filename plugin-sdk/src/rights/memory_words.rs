//! Reading single words of guest memory at memory speed.

use crate::Engine;
use crate::bindings::rights::oriel::introspection::memory_words as wit;

/// The right to read words of guest-physical memory without a call into the engine. A word that
/// cannot be read is 0: ask [`covers`](Self::covers) first.
///
/// ```
/// use oriel_sdk::MemoryWords;
///
/// /// The table's entries that are not empty, or none where it is not memory.
/// fn used(host: &mut impl MemoryWords, table: u64) -> Option<usize> {
///     if !host.covers(table, 4096) {
///         return None;
///     }
///     let words = (table..table + 4096).step_by(8);
///     Some(words.filter(|gpa| host.word_u64(*gpa) != 0).count())
/// }
///
/// # use oriel_sdk::testing::MockEngine;
/// let mut host = MockEngine::default();
/// let _ = host.memory.poke(0x5000, &[1, 2, 3, 4]);
/// assert_eq!(used(&mut host, 0x5000), Some(1));
/// assert_eq!((host.word_u8(0x5000), host.word_u16(0x5000)), (1, 0x201));
/// assert_eq!(host.word_u32(0x5000), 0x0403_0201);
/// ```
pub trait MemoryWords {
    /// Whether all of the range can be read.
    fn covers(&mut self, gpa: u64, length: u64) -> bool;
    /// A byte.
    fn word_u8(&mut self, gpa: u64) -> u8;
    /// Two bytes, little-endian.
    fn word_u16(&mut self, gpa: u64) -> u16;
    /// Four bytes, little-endian.
    fn word_u32(&mut self, gpa: u64) -> u32;
    /// Eight bytes, little-endian.
    fn word_u64(&mut self, gpa: u64) -> u64;
}

impl MemoryWords for Engine {
    fn covers(&mut self, gpa: u64, length: u64) -> bool {
        wit::covers(gpa, length)
    }

    fn word_u8(&mut self, gpa: u64) -> u8 {
        wit::read_u8(gpa)
    }

    fn word_u16(&mut self, gpa: u64) -> u16 {
        wit::read_u16(gpa)
    }

    fn word_u32(&mut self, gpa: u64) -> u32 {
        wit::read_u32(gpa)
    }

    fn word_u64(&mut self, gpa: u64) -> u64 {
        wit::read_u64(gpa)
    }
}
