//! Writing guest memory.

use crate::bindings::rights::oriel::introspection::memory_write as wit;
use crate::{Engine, Refusal};

/// The right to write guest memory.
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
