//! Guest memory that exists where it was written to, and address spaces made of single pages.
//!
//! Owns the bytes and the mappings; whether a policy may see them is the engine's.

use std::collections::BTreeMap;

use crate::Refusal;

const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// What a policy may read or write in one call.
const LONGEST: usize = 65536;

/// The memory of the mock engine: RAM from 0 to an end, all zeros until a test pokes it.
#[derive(Clone, Debug)]
pub struct MockMemory {
    /// The guest-physical address behind the last byte of RAM.
    pub end: u64,
    bytes: BTreeMap<u64, [u8; PAGE_BYTES]>,
    /// Guest-physical pages, by CR3 and guest-virtual page.
    spaces: BTreeMap<(u64, u64), u64>,
}

impl MockMemory {
    /// Puts bytes there, as a test prepares a guest.
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

    /// Maps the page of `gva` to the page of `gpa` in the address space of `cr3`.
    pub fn map(&mut self, cr3: u64, gva: u64, gpa: u64) {
        self.spaces.insert((cr3, gva / PAGE), gpa / PAGE);
    }

    /// The guest-physical address of a guest-virtual one.
    pub(super) fn translate(&self, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        let page = self.spaces.get(&(cr3, gva / PAGE));
        page.map(|page| page * PAGE + gva % PAGE)
            .ok_or(Refusal::NotFound)
    }

    pub(super) fn read(&self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        let length = within_limit(length as usize)?;
        self.peek(gpa, length)
    }

    pub(super) fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), Refusal> {
        within_limit(bytes.len())?;
        self.poke(gpa, bytes)
    }

    pub(super) fn read_virtual(&self, cr3: u64, gva: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        let places = self.places(cr3, gva, length as usize)?;
        let byte = |gpa| Ok(self.peek(gpa, 1)?[0]);
        places.into_iter().map(byte).collect()
    }

    pub(super) fn write_virtual(
        &mut self,
        cr3: u64,
        gva: u64,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let places = self.places(cr3, gva, bytes.len())?;
        for gpa in &places {
            self.check(*gpa, 1)?;
        }
        for (gpa, byte) in places.into_iter().zip(bytes) {
            self.poke(gpa, &[*byte])?;
        }
        Ok(())
    }

    /// Where each byte of a guest-virtual range is.
    fn places(&self, cr3: u64, gva: u64, length: usize) -> Result<Vec<u64>, Refusal> {
        let length = within_limit(length)?;
        let each = (0..length as u64).map(|at| self.translate(cr3, gva.wrapping_add(at)));
        each.collect()
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
            spaces: BTreeMap::new(),
        }
    }
}

fn within_limit(length: usize) -> Result<usize, Refusal> {
    (length <= LONGEST)
        .then_some(length)
        .ok_or(Refusal::Invalid)
}

/// Where an address is within its page.
fn offset(address: u64) -> usize {
    (address % PAGE) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_zero_and_what_is_no_ram_is_not_found() {
        let memory = MockMemory::default();
        assert_eq!(memory.read(0x1000, 2), Ok(vec![0, 0]));
        assert_eq!(memory.read(memory.end - 1, 2), Err(Refusal::NotFound));
        assert_eq!(memory.read(u64::MAX, 2), Err(Refusal::NotFound));
        assert_eq!(memory.read(0, 65537), Err(Refusal::Invalid));
    }

    #[test]
    fn a_virtual_range_crosses_pages_that_lie_apart() -> Result<(), Refusal> {
        let mut memory = MockMemory::default();
        memory.map(0x1000, 0x7000, 0x20_0000);
        memory.map(0x1000, 0x8000, 0x10_0000);
        memory.write_virtual(0x1000, 0x7fff, &[1, 2])?;
        assert_eq!(memory.peek(0x20_0fff, 1), Ok(vec![1]));
        assert_eq!(memory.peek(0x10_0000, 1), Ok(vec![2]));
        assert_eq!(memory.read_virtual(0x1000, 0x7fff, 2), Ok(vec![1, 2]));
        Ok(())
    }

    #[test]
    fn a_virtual_write_that_is_not_mapped_to_its_end_writes_nothing() {
        let mut memory = MockMemory::default();
        memory.map(0x1000, 0x7000, 0x20_0000);
        let written = memory.write_virtual(0x1000, 0x7fff, &[1, 2]);
        assert_eq!(written, Err(Refusal::NotFound));
        assert_eq!(memory.peek(0x20_0fff, 1), Ok(vec![0]));
    }
}
