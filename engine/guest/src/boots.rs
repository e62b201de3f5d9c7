//! One index for all who ask, made anew when the guest has booted again. Owns the lock: who comes
//! while it is being made waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use oriel_machine::GuestMemory;

use crate::{answer::Unknown, index::Index, sight::Sight};

/// The index of the current boot.
#[derive(Debug, Default)]
pub struct Boots {
    current: Mutex<Option<Arc<Index>>>,
}

impl Boots {
    /// None has been looked at yet.
    pub const fn new() -> Self {
        Self {
            current: Mutex::new(None),
        }
    }

    /// The index that was made, if this vCPU runs its kernel; where it cannot say, if it still holds.
    pub fn current(&self, memory: &dyn GuestMemory, sight: Option<Sight>) -> Option<Arc<Index>> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let long = sight.filter(Sight::is_long);
        let same = current
            .as_ref()
            .filter(|index| is_of(index, memory, long.as_slice()));
        same.map(Arc::clone)
    }

    /// The guest begins anew: what was found is of no use, even if its memory is still there.
    pub fn forget(&self) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = None;
    }

    /// The index of the kernel that runs now; the one that was made before, if these vCPUs still
    /// run it; where there is none to ask, if it still holds. While none of them runs a kernel it is kept.
    ///
    /// # Errors
    /// As [`Index::build`].
    pub fn index(&self, memory: &dyn GuestMemory, sights: &[Sight]) -> Result<Arc<Index>, Unknown> {
        // An index is put in whole or not at all: a panic elsewhere has not harmed it.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = current
            .as_ref()
            .filter(|index| is_of(index, memory, sights))
        {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::build(memory, sights)?);
        *current = Some(Arc::clone(&index));
        Ok(index)
    }
}

/// Whether these vCPUs run the kernel of an index; where none can say, whether it still holds.
fn is_of(index: &Index, memory: &dyn GuestMemory, sights: &[Sight]) -> bool {
    match sights {
        [] => index.holds(memory),
        _ => index.runs(memory, sights),
    }
}
