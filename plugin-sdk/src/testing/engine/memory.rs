//! Guest memory as a policy reaches it: limits, page by page, and what goes wrong on demand.

use super::{Command, MockEngine};
use crate::{MemoryRange, MemoryRead, MemoryWords, MemoryWrite, Refusal};

const PAGE: u64 = 4096;
/// The most ranges of one scattered read, and the most bytes of one command.
const RANGES: usize = 256;
const BYTES: usize = 65536;

impl MemoryRead for MockEngine {
    fn read_memory(&mut self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.admit(Command::ReadMemory)?;
        self.fetch(gpa, fits(length as usize)?)
    }

    fn read_u64(&mut self, gpa: u64) -> Result<u64, Refusal> {
        self.admit(Command::ReadU64)?;
        Ok(little_endian(&self.fetch(gpa, 8)?))
    }

    fn read_scattered(
        &mut self,
        ranges: &[MemoryRange],
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        self.admit(Command::ReadScattered)?;
        let bytes: u64 = ranges.iter().map(|range| u64::from(range.length)).sum();
        if ranges.len() > RANGES || bytes > BYTES as u64 {
            return Err(Refusal::Invalid);
        }
        let mut read = |range: &MemoryRange| self.fetch(range.gpa, fits(range.length as usize)?);
        Ok(ranges.iter().map(&mut read).collect())
    }

    fn read_virtual(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.admit_on(Command::ReadVirtual, vcpu)?;
        self.fetch_virtual((vcpu, None), gva, length)
    }

    fn read_virtual_in(
        &mut self,
        vcpu: u32,
        cr3: u64,
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        self.admit_on(Command::ReadVirtualIn, vcpu)?;
        self.fetch_virtual((vcpu, Some(cr3)), gva, length)
    }

    fn translate(&mut self, vcpu: u32, gva: u64) -> Result<u64, Refusal> {
        self.admit_on(Command::Translate, vcpu)?;
        self.guest().lead(vcpu, None, gva)
    }

    fn translate_in(&mut self, vcpu: u32, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        self.admit_on(Command::TranslateIn, vcpu)?;
        self.guest().lead(vcpu, Some(cr3), gva)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a word is as long as it was read"
)]
impl MemoryWords for MockEngine {
    fn covers(&mut self, gpa: u64, length: u64) -> bool {
        self.admit(Command::Covers).is_ok()
            && !self.faults.has_lost(gpa, length)
            && self.guest().is_ram(gpa, length)
    }

    fn word_u8(&mut self, gpa: u64) -> u8 {
        self.word(gpa, 1) as u8
    }

    fn word_u16(&mut self, gpa: u64) -> u16 {
        self.word(gpa, 2) as u16
    }

    fn word_u32(&mut self, gpa: u64) -> u32 {
        self.word(gpa, 4) as u32
    }

    fn word_u64(&mut self, gpa: u64) -> u64 {
        self.word(gpa, 8)
    }
}

impl MemoryWrite for MockEngine {
    fn write_memory(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.admit(Command::WriteMemory)?;
        let length = fits(bytes.len())?;
        self.put_pieces(&[(gpa, length)], bytes)
    }

    fn write_virtual(&mut self, vcpu: u32, gva: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.admit_on(Command::WriteVirtual, vcpu)?;
        let pieces = self.pieces((vcpu, None), gva, fits(bytes.len())?)?;
        self.put_pieces(&pieces, bytes)
    }
}

impl MockEngine {
    fn word(&mut self, gpa: u64, length: usize) -> u64 {
        let admitted = self.admit(Command::Word);
        let bytes = admitted.and_then(|()| self.fetch(gpa, length));
        bytes.map_or(0, |bytes| little_endian(&bytes))
    }

    /// Guest-physical memory, as the guest and the faults of the test leave it.
    fn fetch(&mut self, gpa: u64, length: usize) -> Result<Vec<u8>, Refusal> {
        if self.faults.has_lost(gpa, length as u64) {
            return Err(Refusal::NotFound);
        }
        let mut bytes = vec![0; length];
        self.guest().look(gpa, &mut bytes)?;
        if let Some(writes) = self.faults.tear(gpa, &mut bytes) {
            let (gpa, written) = writes;
            self.guest().put(gpa, &written)?;
        }
        Ok(bytes)
    }

    fn fetch_virtual(
        &mut self,
        (vcpu, cr3): (u32, Option<u64>),
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        let pieces = self.pieces((vcpu, cr3), gva, fits(length as usize)?)?;
        let mut bytes = Vec::new();
        for (gpa, length) in pieces {
            bytes.extend(self.fetch(gpa, length)?);
        }
        Ok(bytes)
    }

    /// Stores all pieces, or none.
    fn put_pieces(&mut self, pieces: &[(u64, usize)], bytes: &[u8]) -> Result<(), Refusal> {
        for &(gpa, length) in pieces {
            let lost = self.faults.has_lost(gpa, length as u64);
            if lost || !self.guest().is_ram(gpa, length as u64) {
                return Err(Refusal::NotFound);
            }
        }
        let mut rest = bytes;
        for &(gpa, length) in pieces {
            let (piece, others) = rest.split_at_checked(length).ok_or(Refusal::Invalid)?;
            self.guest().put(gpa, piece)?;
            rest = others;
        }
        Ok(())
    }

    /// Where each page's part of a guest-virtual range is.
    fn pieces(
        &mut self,
        (vcpu, cr3): (u32, Option<u64>),
        gva: u64,
        length: usize,
    ) -> Result<Vec<(u64, usize)>, Refusal> {
        let mut pieces = Vec::new();
        let mut done = 0;
        while done < length {
            let at = gva.checked_add(done as u64).ok_or(Refusal::NotFound)?;
            let left = usize::try_from(PAGE - at % PAGE).unwrap_or(length);
            let piece = left.min(length - done);
            pieces.push((self.guest().lead(vcpu, cr3, at)?, piece));
            done += piece;
        }
        Ok(pieces)
    }
}

fn fits(length: usize) -> Result<usize, Refusal> {
    let fits = (1..=BYTES).contains(&length);
    fits.then_some(length).ok_or(Refusal::Invalid)
}

fn little_endian(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_0_where_there_is_no_memory() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        engine.memory.poke(0x1000, &[1, 2, 3, 4, 5, 6, 7, 8])?;
        assert_eq!(engine.word_u16(0x1000), 0x0201);
        assert_eq!(engine.word_u64(0x1000), 0x0807_0605_0403_0201);
        assert_eq!(engine.read_u64(0x1000), Ok(0x0807_0605_0403_0201));
        let end = engine.memory.end;
        assert_eq!((engine.word_u8(end), engine.covers(end, 1)), (0, false));
        assert_eq!(engine.read_memory(end - 1, 2), Err(Refusal::NotFound));
        assert_eq!(engine.read_memory(u64::MAX, 2), Err(Refusal::NotFound));
        Ok(())
    }

    #[test]
    fn nothing_and_too_much_are_invalid() {
        let mut engine = MockEngine::default();
        for length in [0, 65537] {
            assert_eq!(engine.read_memory(0, length), Err(Refusal::Invalid));
        }
        assert_eq!(engine.write_memory(0, &[]), Err(Refusal::Invalid));
    }

    #[test]
    fn one_bad_range_does_not_spoil_a_scattered_read() {
        let mut engine = MockEngine::default();
        let ranges =
            [(0x1000, 1), (u64::MAX, 1), (0, 0)].map(|(gpa, length)| MemoryRange { gpa, length });
        let read = engine.read_scattered(&ranges);
        let read = read.unwrap_or_default();
        assert_eq!(read[0], Ok(vec![0]));
        assert_eq!(read[1..], [Err(Refusal::NotFound), Err(Refusal::Invalid)]);
    }

    #[test]
    fn a_virtual_range_crosses_pages_that_lie_apart() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        let cr3 = 0x10_0000;
        engine.memory.map(cr3, 0x7000, 0x20_0000);
        engine.memory.map(cr3, 0x8000, 0x30_0000);
        engine.write_virtual(0, 0x7fff, &[1, 2])?;
        assert_eq!(engine.memory.peek(0x20_0fff, 1), Ok(vec![1]));
        assert_eq!(engine.memory.peek(0x30_0000, 1), Ok(vec![2]));
        assert_eq!(engine.read_virtual(0, 0x7fff, 2), Ok(vec![1, 2]));
        assert_eq!(engine.read_virtual_in(1, cr3, 0x7fff, 2), Ok(vec![1, 2]));
        Ok(())
    }

    #[test]
    fn a_virtual_write_that_is_not_mapped_to_its_end_writes_nothing() {
        let mut engine = MockEngine::default();
        engine.memory.map(0x10_0000, 0x7000, 0x20_0000);
        let written = engine.write_virtual(0, 0x7fff, &[1, 2]);
        assert_eq!(written, Err(Refusal::NotFound));
        assert_eq!(engine.memory.peek(0x20_0fff, 1), Ok(vec![0]));
    }
}
