//! Writing guest memory.

use crate::bindings::rights::oriel::introspection::memory_write as wit;
use crate::{Engine, Refusal};

/// The right to write guest memory.
///
/// ```
/// use oriel_sdk::{MemoryWrite, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.memory.map(0x10_0000, 0x7000, 0x5000);
/// host.write_memory(0x5000, &[1, 2])?;
/// host.write_virtual(0, 0x7001, &[7])?;
/// assert_eq!(host.memory.peek(0x5000, 2)?, [1, 7]);
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
pub trait MemoryWrite {
    /// At most 65536 bytes.
    ///
    /// # Errors
    /// Denied; `not-found`, if part of the range is not RAM: then nothing was written.
    fn write_memory(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), Refusal>;

    /// As the vCPU's page tables map it now.
    ///
    /// # Errors
    /// As [`write_memory`](Self::write_memory), and if part of the range is not mapped.
    fn write_virtual(&mut self, vcpu: u32, gva: u64, bytes: &[u8]) -> Result<(), Refusal>;
}

impl MemoryWrite for Engine {
    fn write_memory(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), Refusal> {
        wit::write(gpa, bytes)
    }

    fn write_virtual(&mut self, vcpu: u32, gva: u64, bytes: &[u8]) -> Result<(), Refusal> {
        wit::write_virtual(vcpu, gva, bytes)
    }
}
