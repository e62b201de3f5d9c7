//! Reading what lies in the kernel's own memory, by names. Owns how a field's path is followed; the
//! memory is read by [`MemoryRead`], where the engine says that it lies.

use super::{Absence, Field};
use crate::{Fixed, GuestOs, MemoryRange, MemoryRead, Refusal};

/// What one command of the engine locates at most, in bytes.
const MOST: u64 = 65536;

/// Reads the kernel's memory without asking a vCPU, so that a guest that runs is not stopped for it.
/// Every host that has both rights has it.
///
/// ```
/// use oriel_sdk::GuestOs;
/// use oriel_sdk::linux::{Field, ReadKernel};
/// use oriel_sdk::testing::{MockEngine, MockLinux};
///
/// let mut host = MockEngine::default();
/// let mut linux = MockLinux::new(0x10_0000);
/// linux.fields.insert("task_struct.pid".into(), Field { hops: vec![], offset: 8, size: 4, bits: None });
/// host.linux = Some(linux);
/// let task = 0xffff_8880_0000_1000;
/// host.memory.map(0x10_0000, task, 0x5000);
/// host.memory.poke(0x5008, &7_u64.to_le_bytes())?;
///
/// assert_eq!(host.read_member(task, "task_struct.pid"), Ok(7));
/// let pid = host.find_field("task_struct.pid", None)?;
/// assert_eq!(host.place_of(task, &pid), Ok(task + 8));
/// assert_eq!(host.read_field(task, &pid), Ok(7));
/// assert_eq!(host.read_kernel(task, 9)?, [0, 0, 0, 0, 0, 0, 0, 0, 7]);
/// assert_eq!(host.read_kernel_value::<u16>(task + 8), Ok(7));
/// # Ok::<(), oriel_sdk::linux::Absence>(())
/// ```
pub trait ReadKernel: GuestOs + MemoryRead {
    /// So many bytes of the kernel's memory.
    ///
    /// # Errors
    /// As [`GuestOs`]; `not-found`, if part of it is not RAM.
    fn read_kernel(&mut self, gva: u64, length: u64) -> Result<Vec<u8>, Absence> {
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < length {
            let now = (length - done).min(MOST);
            let at = gva.checked_add(done).ok_or(Refusal::Invalid)?;
            let now32 = u32::try_from(now).map_err(|_| Refusal::Invalid)?;
            let pieces = self.locate(at, now32)?;
            let range = |piece: &super::Piece| MemoryRange {
                gpa: piece.gpa,
                length: piece.length,
            };
            let ranges: Vec<_> = pieces.iter().map(range).collect();
            for piece in self.read_scattered(&ranges)? {
                bytes.extend(piece?);
            }
            done += now;
        }
        Ok(bytes)
    }

    /// A value of fixed layout in the kernel's memory.
    ///
    /// # Errors
    /// As [`read_kernel`](Self::read_kernel).
    fn read_kernel_value<T: Fixed>(&mut self, gva: u64) -> Result<T, Absence> {
        let length = u64::try_from(T::SIZE).map_err(|_| Refusal::Invalid)?;
        let bytes = self.read_kernel(gva, length)?;
        Ok(T::from_bytes(&bytes).ok_or(Refusal::Invalid)?)
    }

    /// Where a field is in the structure at an address: its pointers are followed.
    ///
    /// # Errors
    /// As [`read_kernel`](Self::read_kernel).
    fn place_of(&mut self, base: u64, field: &Field) -> Result<u64, Absence> {
        let mut at = base;
        for hop in &field.hops {
            at = self.read_kernel_value(at.wrapping_add(*hop))?;
        }
        Ok(at.wrapping_add(field.offset))
    }

    /// The value of a field of at most eight bytes, as an unsigned number.
    ///
    /// # Errors
    /// As [`read_kernel`](Self::read_kernel); `invalid`, if it is longer.
    fn read_field(&mut self, base: u64, field: &Field) -> Result<u64, Absence> {
        let place = self.place_of(base, field)?;
        let bytes = self.read_kernel(place, field.size)?;
        let mut word = [0; 8];
        let own = word.get_mut(..bytes.len()).ok_or(Refusal::Invalid)?;
        own.copy_from_slice(&bytes);
        let word = u64::from_le_bytes(word);
        Ok(field.bits.as_ref().map_or(word, |bits| bits.of(word)))
    }

    /// The same by the member's path. Look the field up once where it is read often.
    ///
    /// # Errors
    /// As [`read_kernel`](Self::read_kernel).
    fn read_member(&mut self, base: u64, path: &str) -> Result<u64, Absence> {
        let field = self.find_field(path, None)?;
        self.read_field(base, &field)
    }
}

impl<H: GuestOs + MemoryRead> ReadKernel for H {}
