//! Structures in guest memory: values of fixed layout, C strings, linked lists, many places at once.
//!
//! Owns their shapes. Where they are is the policy's knowledge, and whether it may read there the
//! engine's answer: all of this is made of [`MemoryRead`]'s functions, and imports no others.

mod fixed;
mod record;

use crate::{MemoryRange, MemoryRead, Refusal};

pub use fixed::Fixed;
pub use record::Record;

const PAGE: u64 = 4096;
/// What one command of the engine reads at most: ranges, and bytes.
const RANGES: usize = 256;
const BYTES: u64 = 65536;

/// Reads structures. Every host that reads memory has it.
///
/// ```
/// use oriel_sdk::{MemoryRange, ReadStructures, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// let (cr3, task) = (0x10_0000, 0xffff_8880_0000_1000);
/// host.memory.map(cr3, task, 0x5000);
/// host.memory.poke(0x5000, &7_u32.to_le_bytes())?;
/// host.memory.poke(0x5010, b"systemd\0")?;
///
/// // A structure: its fields one behind the other, as the guest's compiler has laid them out.
/// let (pid, flags, _): (u32, u32, [u8; 8]) = host.read_value(0, task)?;
/// assert_eq!((pid, flags), (7, 0));
/// // Or by the offsets of its fields.
/// let record = host.read_record(0, task, 0x20)?;
/// assert_eq!(record.get::<u32>(0), Some(7));
/// assert_eq!(record.text(0x10, 16).as_deref(), Some("systemd"));
/// // A C string, at most so long.
/// assert_eq!(host.read_text(0, task + 0x10, 16)?, "systemd");
/// // Many places with as few commands as they need.
/// let places = [MemoryRange { gpa: 0x5000, length: 1 }, MemoryRange { gpa: u64::MAX, length: 1 }];
/// let found = host.read_batch(&places)?;
/// assert_eq!((found[0].as_deref(), found[1].is_err()), (Ok(&[7][..]), true));
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
pub trait ReadStructures: MemoryRead {
    /// A value of fixed layout at a guest-virtual address.
    ///
    /// # Errors
    /// As [`MemoryRead`].
    fn read_value<T: Fixed>(&mut self, vcpu: u32, gva: u64) -> Result<T, Refusal> {
        let length = u32::try_from(T::SIZE).map_err(|_| Refusal::Invalid)?;
        let bytes = self.read_virtual(vcpu, gva, length)?;
        T::from_bytes(&bytes).ok_or(Refusal::Invalid)
    }

    /// So many bytes at a guest-virtual address, to be looked at by the offsets of fields.
    ///
    /// # Errors
    /// As [`MemoryRead`].
    fn read_record(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Record, Refusal> {
        Ok(Record::new(self.read_virtual(vcpu, gva, length)?))
    }

    /// A C string at a guest-virtual address: up to its zero, of at most so many bytes. It is read
    /// page by page, so that one that ends before a page that is not there is found. What is no
    /// UTF-8 is shown as U+FFFD.
    ///
    /// # Errors
    /// As [`MemoryRead`]; `limit`, if there is no zero within so many bytes.
    fn read_text(&mut self, vcpu: u32, gva: u64, most: u32) -> Result<String, Refusal> {
        let mut text = Vec::new();
        let mut left = u64::from(most);
        let mut at = gva;
        while left > 0 {
            let length = left.min(PAGE - at % PAGE);
            let length = u32::try_from(length).map_err(|_| Refusal::Invalid)?;
            let bytes = self.read_virtual(vcpu, at, length)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                text.extend(bytes.iter().take(end));
                return Ok(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend(bytes);
            left -= u64::from(length);
            at = at.checked_add(length.into()).ok_or(Refusal::NotFound)?;
        }
        Err(Refusal::Limit)
    }

    /// The nodes of a linked list whose head is at a guest-virtual address: each, and the head,
    /// begins with the address of the next one, as Linux's `list_head` does. It ends where it comes
    /// back to its head, or at 0. A guest can make one that does not end, so it has at most so many.
    ///
    /// ```
    /// use oriel_sdk::{ReadStructures, Refusal, testing::MockEngine};
    ///
    /// let mut host = MockEngine::default();
    /// host.memory.map(0x10_0000, 0x5000, 0x5000);
    /// for (node, next) in [(0x5000_u64, 0x5100_u64), (0x5100, 0x5200), (0x5200, 0x5000)] {
    ///     host.memory.poke(node, &next.to_le_bytes())?;
    /// }
    /// assert_eq!(host.walk_list(0, 0x5000, 100)?, [0x5100, 0x5200]);
    /// // One that goes round without its head, as a rootkit may leave it.
    /// host.memory.poke(0x5200, &0x5100_u64.to_le_bytes())?;
    /// assert_eq!(host.walk_list(0, 0x5000, 100), Err(Refusal::Limit));
    /// # Ok::<(), Refusal>(())
    /// ```
    ///
    /// # Errors
    /// As [`MemoryRead`]; `limit`, if there are more.
    fn walk_list(&mut self, vcpu: u32, head: u64, most: usize) -> Result<Vec<u64>, Refusal> {
        let mut nodes = Vec::new();
        let mut next: u64 = self.read_value(vcpu, head)?;
        while next != head && next != 0 {
            if nodes.len() == most {
                return Err(Refusal::Limit);
            }
            nodes.push(next);
            next = self.read_value(vcpu, next)?;
        }
        Ok(nodes)
    }

    /// Any number of ranges of guest-physical memory, each with its own answer, by as few commands as
    /// their number and length need.
    ///
    /// # Errors
    /// As [`MemoryRead`]; `invalid`, if one range by itself is too long.
    fn read_batch(
        &mut self,
        ranges: &[MemoryRange],
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        let mut answers = Vec::with_capacity(ranges.len());
        let mut rest = ranges;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest));
            answers.extend(self.read_scattered(now)?);
            rest = later;
        }
        Ok(answers)
    }
}

impl<H: MemoryRead> ReadStructures for H {}

/// How many of these one command reads; one at least, so that what is too long is refused.
fn fitting(ranges: &[MemoryRange]) -> usize {
    let mut total = 0;
    let fits = |range: &&MemoryRange| {
        total += u64::from(range.length);
        total <= BYTES
    };
    ranges.iter().take(RANGES).take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests;
