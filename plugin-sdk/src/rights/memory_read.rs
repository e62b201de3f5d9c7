//! Reading guest memory.

use crate::bindings::rights::oriel::introspection::memory_read as wit;
use crate::{Engine, Refusal};

/// A range of guest-physical memory.
pub use wit::Range as MemoryRange;

/// The right to read guest memory. Breakpoints placed through Oriel are not seen.
///
/// ```
/// use oriel_sdk::{MemoryRead, Moment, Refusal};
///
/// /// The instruction that raised the event, and what follows it.
/// fn code(host: &mut impl MemoryRead, at: &Moment) -> Result<Vec<u8>, Refusal> {
///     host.read_virtual(at.vcpu, at.ip, 16)
/// }
/// ```
///
/// ```
/// use oriel_sdk::{MemoryRange, MemoryRead, Refusal, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// let cr3 = 0x10_0000;
/// host.memory.map(cr3, 0x7000, 0x5000);
/// host.memory.poke(0x5000, &[1, 2, 3, 4, 5, 6, 7, 8])?;
/// assert_eq!(host.read_memory(0x5000, 2)?, [1, 2]);
/// assert_eq!(host.read_u64(0x5000), Ok(0x0807_0605_0403_0201));
/// assert_eq!(host.read_virtual_in(0, cr3, 0x7001, 2)?, [2, 3]);
/// assert_eq!(host.translate(0, 0x7001), Ok(0x5001));
/// assert_eq!(host.translate_in(0, cr3, 0x8000), Err(Refusal::NotFound));
/// let ranges = [MemoryRange { gpa: 0x5000, length: 1 }, MemoryRange { gpa: u64::MAX, length: 1 }];
/// assert_eq!(host.read_scattered(&ranges)?, [Ok(vec![1]), Err(Refusal::NotFound)]);
/// # Ok::<(), Refusal>(())
/// ```
///
/// Structures, strings and lists: [`ReadStructures`](crate::ReadStructures).
///
/// # Errors
/// All functions: denied; `not-found`, if part of the range is not RAM or not mapped; `invalid`,
/// if it is too long.
pub trait MemoryRead {
    /// At most 65536 bytes.
    fn read_memory(&mut self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal>;
    /// One word, little-endian.
    fn read_u64(&mut self, gpa: u64) -> Result<u64, Refusal>;
    /// Up to 256 ranges, 65536 bytes in all; each has its own answer.
    fn read_scattered(
        &mut self,
        ranges: &[MemoryRange],
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal>;
    /// As the vCPU's page tables map it now; may cross pages.
    fn read_virtual(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Vec<u8>, Refusal>;
    /// As the page tables at `cr3` map it, with the vCPU's paging mode.
    fn read_virtual_in(
        &mut self,
        vcpu: u32,
        cr3: u64,
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal>;
    /// The guest-physical address of a guest-virtual one.
    fn translate(&mut self, vcpu: u32, gva: u64) -> Result<u64, Refusal>;
    /// That address as the page tables at `cr3` have it.
    fn translate_in(&mut self, vcpu: u32, cr3: u64, gva: u64) -> Result<u64, Refusal>;
}

impl MemoryRead for Engine {
    fn read_memory(&mut self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        wit::read(gpa, length)
    }

    fn read_u64(&mut self, gpa: u64) -> Result<u64, Refusal> {
        wit::read_u64(gpa)
    }

    fn read_scattered(
        &mut self,
        ranges: &[MemoryRange],
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        wit::read_scattered(ranges)
    }

    fn read_virtual(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        wit::read_virtual(vcpu, gva, length)
    }

    fn read_virtual_in(
        &mut self,
        vcpu: u32,
        cr3: u64,
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        wit::read_virtual_in(vcpu, cr3, gva, length)
    }

    fn translate(&mut self, vcpu: u32, gva: u64) -> Result<u64, Refusal> {
        wit::translate(vcpu, gva)
    }

    fn translate_in(&mut self, vcpu: u32, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        wit::translate_in(vcpu, cr3, gva)
    }
}
