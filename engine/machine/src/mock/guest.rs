//! What an instruction acts on: the registers of its vCPU, and memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oriel_protocol::{Access, Gpa, Gva, x86::Exception};
use vm_memory::GuestMemoryMmap;

use super::{
    cpu::{Cpu, mask},
    probe::{Fault, Seen},
};
use crate::{
    GuestMemory as _,
    paging::{self, Accessor, Mode},
};

const PAGE_FAULT: u8 = 14;

/// A vCPU as its instructions see it. Owned by the vCPU's thread.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) cpu: Cpu,
    pub(super) ram: GuestMemoryMmap<()>,
    /// What it shows to the outside, shared with nobody but a probe.
    pub(super) seen: Arc<Mutex<Seen>>,
    /// The registers as a reset leaves them.
    pub(super) start: Box<Cpu>,
}

impl Guest {
    /// The physical address of a virtual one, or the page fault that the access raises.
    pub(super) fn translate(&self, gva: Gva, access: Access) -> Result<Gpa, Exception> {
        let special = &self.cpu.special;
        let by = Accessor::of(special, self.cpu.general.rflags);
        let found = paging::translate(&self.ram, Mode::of(special), special.cr3, gva)
            .map_err(|_| page_fault(gva, access, by.user, false))?;
        if found.permits(access, by) {
            Ok(found.gpa)
        } else {
            Err(page_fault(gva, access, by.user, true))
        }
    }

    /// Up to eight bytes of memory; all ones where no RAM is.
    pub(super) fn load(&self, gpa: Gpa, size: u8) -> u64 {
        let mut word = [0; 8];
        let bytes = &mut word[..usize::from(size.min(8))];
        match self.ram.read_at(gpa, bytes) {
            Ok(()) => u64::from_le_bytes(word),
            Err(_) => mask(size),
        }
    }

    /// A store where no RAM is goes nowhere.
    pub(super) fn store(&self, gpa: Gpa, size: u8, value: u64) {
        let bytes = value.to_le_bytes();
        let _ = self.ram.write_at(gpa, &bytes[..usize::from(size.min(8))]);
    }

    /// Takes down an exception that the guest's handler gets.
    pub(super) fn deliver(&mut self, exception: Exception) {
        if exception.vector == PAGE_FAULT {
            self.cpu.special.cr2 = exception.address;
        }
        let ip = self.cpu.general.rip;
        self.seen().faults.push(Fault { exception, ip });
    }

    /// How many exceptions it has taken, of one vector or of all.
    pub(super) fn faults(&self, vector: Option<u8>) -> u64 {
        let seen = self.seen();
        let counted = |fault: &&Fault| vector.is_none_or(|vector| fault.exception.vector == vector);
        seen.faults.iter().filter(counted).count() as u64
    }

    /// What this vCPU has shown to the outside.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// #PF with the error code that says what was tried (SDM vol. 3, section 4.7).
fn page_fault(gva: Gva, access: Access, user: bool, present: bool) -> Exception {
    let code = u32::from(present)
        | u32::from(access.contains(Access::WRITE)) << 1
        | u32::from(user) << 2
        | u32::from(access.contains(Access::EXECUTE)) << 4;
    Exception {
        vector: PAGE_FAULT,
        error_code: Some(code),
        address: gva,
    }
}
