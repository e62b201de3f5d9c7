//! Guest memory as a policy reaches it.

use super::{Command, MockEngine};
use crate::{MemoryRange, MemoryRead, MemoryWords, MemoryWrite, Refusal, Register};

/// The most ranges of one scattered read, and the most bytes in all.
const RANGES: usize = 256;
const BYTES: u64 = 65536;

impl MemoryRead for MockEngine {
    fn read_memory(&mut self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.admit(Command::ReadMemory)?;
        self.memory.read(gpa, length)
    }

    fn read_u64(&mut self, gpa: u64) -> Result<u64, Refusal> {
        self.admit(Command::ReadU64)?;
        let bytes = self.memory.read(gpa, 8)?;
        Ok(little_endian(&bytes))
    }

    fn read_scattered(
        &mut self,
        ranges: &[MemoryRange],
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        self.admit(Command::ReadScattered)?;
        let bytes: u64 = ranges.iter().map(|range| u64::from(range.length)).sum();
        if ranges.len() > RANGES || bytes > BYTES {
            return Err(Refusal::Invalid);
        }
        let read = |range: &MemoryRange| self.memory.read(range.gpa, range.length);
        Ok(ranges.iter().map(read).collect())
    }

    fn read_virtual(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.admit(Command::ReadVirtual)?;
        let cr3 = self.cr3(vcpu)?;
        self.memory.read_virtual(cr3, gva, length)
    }

    fn read_virtual_in(
        &mut self,
        vcpu: u32,
        cr3: u64,
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        self.admit(Command::ReadVirtualIn)?;
        self.vcpu(vcpu)?;
        self.memory.read_virtual(cr3, gva, length)
    }

    fn translate(&mut self, vcpu: u32, gva: u64) -> Result<u64, Refusal> {
        self.admit(Command::Translate)?;
        let cr3 = self.cr3(vcpu)?;
        self.memory.translate(cr3, gva)
    }

    fn translate_in(&mut self, vcpu: u32, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        self.admit(Command::TranslateIn)?;
        self.vcpu(vcpu)?;
        self.memory.translate(cr3, gva)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a word is as long as it was read"
)]
impl MemoryWords for MockEngine {
    fn covers(&mut self, gpa: u64, length: u64) -> bool {
        let end = gpa.checked_add(length);
        self.admit(Command::Covers).is_ok() && end.is_some_and(|end| end <= self.memory.end)
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
        self.memory.write(gpa, bytes)
    }

    fn write_virtual(&mut self, vcpu: u32, gva: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.admit(Command::WriteVirtual)?;
        let cr3 = self.cr3(vcpu)?;
        self.memory.write_virtual(cr3, gva, bytes)
    }
}

impl MockEngine {
    fn word(&mut self, gpa: u64, length: u32) -> u64 {
        let admitted = self.admit(Command::Word);
        let bytes = admitted.and_then(|()| self.memory.read(gpa, length));
        bytes.map_or(0, |bytes| little_endian(&bytes))
    }

    fn cr3(&mut self, vcpu: u32) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu)?.register(Register::Cr3))
    }
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
        Ok(())
    }

    #[test]
    fn one_bad_range_does_not_spoil_a_scattered_read() {
        let mut engine = MockEngine::default();
        let ranges = [0x1000, u64::MAX].map(|gpa| MemoryRange { gpa, length: 1 });
        let read = engine.read_scattered(&ranges);
        assert_eq!(read, Ok(vec![Ok(vec![0]), Err(Refusal::NotFound)]));
    }
}
