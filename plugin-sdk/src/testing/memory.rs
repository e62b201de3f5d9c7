//! Guest memory that exists where it was written to, and page tables that lie in it.
//!
//! Owns the bytes. Whether a policy may see them, and by which tables, is the engine's.

mod tables;

use std::collections::BTreeMap;

use crate::Refusal;

const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// The memory of the mock engine: RAM from 0 to an end, all zeros until a test pokes it.
///
/// ```
/// use oriel_sdk::{MemoryRead, testing::MockEngine};
///
/// let mut engine = MockEngine::default();
/// engine.memory.poke(0x5000, b"Linux version 6.12\0")?;
/// engine.memory.map(0x10_0000, 0xffff_ffff_8100_0000, 0x5000);
/// assert_eq!(engine.read_virtual(0, 0xffff_ffff_8100_0000, 5)?, b"Linux");
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct MockMemory {
    /// The guest-physical address behind the last byte of RAM.
    pub end: u64,
    bytes: BTreeMap<u64, [u8; PAGE_BYTES]>,
    /// Page tables that were made go below this address.
    lowest_table: Option<u64>,
}

impl MockMemory {
    /// Puts bytes there, as a test prepares a guest.
    ///
    /// ```
    /// use oriel_sdk::{Refusal, testing::MockMemory};
    ///
    /// let mut memory = MockMemory::default();
    /// memory.poke(0x1000, &[1, 2])?;
    /// assert_eq!(memory.poke(memory.end - 1, &[1, 2]), Err(Refusal::NotFound));
    /// # Ok::<(), Refusal>(())
    /// ```
    ///
    /// # Errors
    /// `not-found`: part of it is not RAM, and nothing was written.
    pub fn poke(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.check(gpa, bytes.len())?;
        for (at, byte) in (gpa..).zip(bytes) {
            let page = self.bytes.entry(at / PAGE).or_insert([0; PAGE_BYTES]);
            page[offset(at)] = *byte;
        }
        Ok(())
    }

    /// The bytes there, as a test looks at what came of it.
    ///
    /// ```
    /// use oriel_sdk::testing::MockMemory;
    ///
    /// assert_eq!(MockMemory::default().peek(0x1000, 2), Ok(vec![0, 0]));
    /// ```
    ///
    /// # Errors
    /// `not-found`: part of it is not RAM.
    pub fn peek(&self, gpa: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        self.check(gpa, length)?;
        let byte = |at: u64| {
            let page = self.bytes.get(&(at / PAGE));
            page.map_or(0, |page| page[offset(at)])
        };
        Ok((gpa..).take(length).map(byte).collect())
    }

    fn word(&self, gpa: u64) -> Result<u64, Refusal> {
        let bytes = self.peek(gpa, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    fn check(&self, gpa: u64, length: usize) -> Result<(), Refusal> {
        let end = gpa.checked_add(length as u64);
        let is_ram = end.is_some_and(|end| end <= self.end);
        is_ram.then_some(()).ok_or(Refusal::NotFound)
    }
}

impl Default for MockMemory {
    fn default() -> Self {
        Self {
            end: 1 << 30,
            bytes: BTreeMap::new(),
            lowest_table: None,
        }
    }
}

/// Where an address is within its page.
fn offset(address: u64) -> usize {
    (address % PAGE) as usize
}
