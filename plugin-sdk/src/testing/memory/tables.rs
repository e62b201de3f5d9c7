//! Page tables of four levels, in memory as a guest has them: 4 KiB, 2 MiB and 1 GiB pages are
//! walked, 4 KiB ones are made.

use super::{MockMemory, PAGE};
use crate::Refusal;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Present, writable, for the user too: rights are no business of a policy's reads.
const ENTRY: u64 = 0b111;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const LEVELS: u32 = 4;

impl MockMemory {
    /// Maps the page of `gva` to the page of `gpa` by page tables whose top one is the page of
    /// `cr3`. Tables that are missing are made at the end of RAM.
    ///
    /// ```
    /// use oriel_sdk::{MemoryRead, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.memory.map(0x10_0000, 0x7000, 0x5000);
    /// assert_eq!(engine.translate(0, 0x7abc), Ok(0x5abc));
    /// // The tables are bytes like any others.
    /// assert_ne!(engine.memory.peek(0x10_0000, 8), Ok(vec![0; 8]));
    /// ```
    ///
    /// # Panics
    /// RAM has no room for a table, or `cr3` is not in it.
    #[track_caller]
    pub fn map(&mut self, cr3: u64, gva: u64, gpa: u64) {
        self.put_entry(cr3, gva, (gpa & ADDRESS) | ENTRY);
    }

    /// Takes the page of `gva` away: it is not present.
    ///
    /// ```
    /// use oriel_sdk::{MemoryRead, Refusal, testing::MockEngine};
    ///
    /// let mut engine = MockEngine::default();
    /// engine.memory.map(0x10_0000, 0x7000, 0x5000);
    /// engine.memory.unmap(0x10_0000, 0x7000);
    /// assert_eq!(engine.read_virtual(0, 0x7abc, 1), Err(Refusal::NotFound));
    /// ```
    ///
    /// # Panics
    /// As [`map`](Self::map).
    #[track_caller]
    pub fn unmap(&mut self, cr3: u64, gva: u64) {
        self.put_entry(cr3, gva, 0);
    }

    /// The guest-physical address of a guest-virtual one.
    pub(in crate::testing) fn translate(&self, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        let top = gva.cast_signed() >> 47;
        if top != 0 && top != -1 {
            return Err(Refusal::NotFound);
        }
        let mut table = cr3 & ADDRESS;
        for level in (1..=LEVELS).rev() {
            let entry = self.word(place(table, gva, level))?;
            if entry & PRESENT == 0 {
                return Err(Refusal::NotFound);
            }
            if level == 1 || (level < LEVELS && entry & LARGE != 0) {
                let within = (1 << (12 + 9 * (level - 1))) - 1;
                return Ok((entry & ADDRESS & !within) | (gva & within));
            }
            table = entry & ADDRESS;
        }
        Err(Refusal::NotFound)
    }

    #[track_caller]
    fn put_entry(&mut self, cr3: u64, gva: u64, entry: u64) {
        let made = self.try_put(cr3, gva, entry);
        assert!(
            made.is_ok(),
            "no room for page tables below {:#x}",
            self.end
        );
    }

    fn try_put(&mut self, cr3: u64, gva: u64, entry: u64) -> Result<(), Refusal> {
        let mut table = cr3 & ADDRESS;
        for level in (2..=LEVELS).rev() {
            table = self.below(place(table, gva, level))?;
        }
        self.poke(place(table, gva, 1), &entry.to_le_bytes())
    }

    /// The table behind an entry, made where there is none. A large page goes.
    fn below(&mut self, at: u64) -> Result<u64, Refusal> {
        let entry = self.word(at)?;
        if entry & PRESENT != 0 && entry & LARGE == 0 {
            return Ok(entry & ADDRESS);
        }
        let lowest = self.lowest_table.unwrap_or(self.end & ADDRESS);
        let table = lowest.checked_sub(PAGE).ok_or(Refusal::Limit)?;
        self.lowest_table = Some(table);
        self.poke(at, &(table | ENTRY).to_le_bytes())?;
        Ok(table)
    }
}

/// Where the entry for `gva` is in its table of this level.
const fn place(table: u64, gva: u64, level: u32) -> u64 {
    table + ((gva >> (12 + 9 * (level - 1))) & 0x1ff) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_page_that_the_guest_made_is_walked() -> Result<(), Refusal> {
        let mut memory = MockMemory::default();
        let mut entry = |gpa: u64, value: u64| memory.poke(gpa, &value.to_le_bytes());
        entry(0x1000, 0x2000 | ENTRY)?;
        entry(0x2000, 0x3000 | ENTRY)?;
        entry(0x3008, 0x40_0000 | ENTRY | LARGE)?;
        assert_eq!(memory.translate(0x1000, 0x21_2345), Ok(0x41_2345));
        assert_eq!(memory.translate(0x1000, 0x1000), Err(Refusal::NotFound));
        Ok(())
    }

    #[test]
    fn the_pcid_is_not_part_of_the_address_and_what_is_not_canonical_leads_nowhere() {
        let mut memory = MockMemory::default();
        memory.map(0x1000, 0xffff_8000_0000_0000, 0x5000);
        let far = memory.translate(0x1fff, 0xffff_8000_0000_0001);
        assert_eq!(far, Ok(0x5001));
        assert_eq!(memory.translate(0x1000, 1 << 47), Err(Refusal::NotFound));
    }

    #[test]
    fn two_spaces_do_not_see_each_others_pages() {
        let mut memory = MockMemory::default();
        memory.map(0x1000, 0x7000, 0x5000);
        memory.map(0x2000, 0x7000, 0x6000);
        assert_eq!(memory.translate(0x1000, 0x7000), Ok(0x5000));
        assert_eq!(memory.translate(0x2000, 0x7000), Ok(0x6000));
    }
}
