//! How large the memories and tables of an instance may become, and how large a memory has become.

use wasmtime::{ResourceLimiter, Result, StoreLimits};

/// Wasmtime's own limits, and the mark that memory has reached.
pub(crate) struct Growth {
    limits: StoreLimits,
    /// The most bytes that a memory of it has had.
    pub(crate) memory: usize,
}

impl From<StoreLimits> for Growth {
    fn from(limits: StoreLimits) -> Self {
        Self { limits, memory: 0 }
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let may = self.limits.memory_growing(current, desired, maximum)?;
        if may {
            self.memory = self.memory.max(desired);
        }
        Ok(may)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
