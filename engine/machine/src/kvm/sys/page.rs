//! The page that KVM and a vCPU's thread share (KVM API, section 5, "The `kvm_run` structure").
//!
//! It is mapped a second time, apart from the mapping inside `kvm-ioctls`, so that the reference
//! that [`kvm_ioctls::VcpuFd::run`] makes of its own mapping never aliases ours, and other threads
//! can set `immediate_exit` while the vCPU runs.

#![expect(
    unsafe_code,
    reason = "kvm_run is memory that KVM writes, with unions in it"
)]

use std::{
    io,
    os::fd::AsRawFd,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use kvm_bindings::{KVM_EXIT_IO, KVM_EXIT_MMIO, kvm_run};

use super::exit::{self, ExitData};
use crate::kvm::exit::RawExit;

mod state;

use state::Known;
pub(in crate::kvm) use state::Pieces;

/// A shared mapping of a vCPU's file.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory without thread affinity. Other threads reach it through
// `ImmediateExit` alone, which touches one byte atomically; everything else takes `RunPage`,
// which is neither `Clone` nor shared.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `length` are what `mmap` was given in `RunPage::map`, it is unmapped
        // nowhere else, and whoever holds a pointer into it holds this `Mapping` alive.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// A vCPU's shared page, for the thread that runs it.
///
/// Every access is volatile: KVM writes the page during `KVM_RUN`.
pub(in crate::kvm) struct RunPage {
    mapping: Arc<Mapping>,
    /// What of the vCPU's state is in it.
    known: Known,
}

/// The one byte of the page that other threads write.
#[derive(Clone)]
pub(in crate::kvm) struct ImmediateExit(Arc<Mapping>);

impl RunPage {
    /// Maps the page of a vCPU; `size` is what `KVM_GET_VCPU_MMAP_SIZE` (KVM API, 4.5) says.
    pub(in crate::kvm) fn map(vcpu: &impl AsRawFd, size: usize) -> io::Result<Self> {
        if size < size_of::<kvm_run>() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let (protection, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                protection,
                shared,
                vcpu.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        let length = size;
        Ok(Self {
            mapping: Arc::new(Mapping { start, length }),
            known: Known::default(),
        })
    }

    /// What other threads get.
    pub(in crate::kvm) fn immediate_exit(&self) -> ImmediateExit {
        ImmediateExit(self.mapping.clone())
    }

    fn run(&self) -> *mut kvm_run {
        self.mapping.start.as_ptr().cast()
    }

    /// Why the last `KVM_RUN` returned.
    pub(in crate::kvm) fn exit(&self) -> RawExit {
        let run = self.run();
        // SAFETY: `map` has checked that a whole `kvm_run` is mapped, and the kernel aligns
        // mappings to pages; it stays mapped while `self` is borrowed.
        let (reason, data) = unsafe {
            (
                (&raw const (*run).exit_reason).read_volatile(),
                ExitData::at(&raw const (*run).__bindgen_anon_1),
            )
        };
        exit::read(reason, data)
    }

    /// Answers an MSR exit: a fault, or the value for a read (KVM API, section 5,
    /// `KVM_EXIT_X86_RDMSR`).
    pub(in crate::kvm) fn answer_msr(&mut self, fault: bool, value: u64) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            (&raw mut (*self.run()).__bindgen_anon_1.msr.error).write_volatile(u8::from(fault));
            (&raw mut (*self.run()).__bindgen_anon_1.msr.data).write_volatile(value);
        }
    }

    /// The bytes of an I/O or MMIO exit from offset `at` on; zeros where there are none.
    pub(in crate::kvm) fn data(&self, at: usize, to: &mut [u8]) {
        let Some(from) = self.data_at(at, to.len()) else {
            return to.fill(0);
        };
        for (offset, byte) in to.iter_mut().enumerate() {
            // SAFETY: `data_at` has checked that `to.len()` bytes from `from` on are mapped.
            *byte = unsafe { from.add(offset).read_volatile() };
        }
    }

    /// Sets the bytes of an I/O or MMIO exit from offset `at` on.
    pub(in crate::kvm) fn set_data(&mut self, at: usize, from: &[u8]) {
        let Some(to) = self.data_at(at, from.len()) else {
            return;
        };
        for (offset, byte) in from.iter().enumerate() {
            // SAFETY: `data_at` has checked that `from.len()` bytes from `to` on are mapped.
            unsafe { to.add(offset).write_volatile(*byte) };
        }
    }

    /// Where the data of the current exit lies, if so many bytes there are in the mapping.
    fn data_at(&self, at: usize, length: usize) -> Option<*mut u8> {
        let run = self.run();
        // SAFETY: as in `exit`.
        let (start, room) = match unsafe { (&raw const (*run).exit_reason).read_volatile() } {
            KVM_EXIT_IO => {
                // SAFETY: as in `exit`.
                let offset =
                    unsafe { (&raw const (*run).__bindgen_anon_1.io.data_offset).read_volatile() };
                let offset = usize::try_from(offset).ok()?;
                (offset, self.mapping.length.checked_sub(offset)?)
            }
            KVM_EXIT_MMIO => (std::mem::offset_of!(kvm_run, __bindgen_anon_1) + 8, 8),
            _ => return None,
        };
        if at.checked_add(length)? > room {
            return None;
        }
        // SAFETY: `start + at + length` is at most `start + room`, which is the mapping's length
        // for an I/O exit, and the end of the eight data bytes of `kvm_run` for an MMIO exit (its
        // data follow the eight bytes of the address).
        Some(unsafe { self.mapping.start.as_ptr().add(start + at) })
    }
}

impl ImmediateExit {
    /// Makes `KVM_RUN` return before it enters the guest, or lets it enter (KVM API, section 5,
    /// `immediate_exit`).
    pub(in crate::kvm) fn set(&self, on: bool) {
        let run: *mut kvm_run = self.0.start.as_ptr().cast();
        // SAFETY: the byte is mapped (`RunPage::map`) for as long as `self.0` lives, and every
        // access to it in this process is this atomic one (`kvm-ioctls` is never asked to).
        let byte = unsafe { AtomicU8::from_ptr(&raw mut (*run).immediate_exit) };
        // A swap and not a store: whoever clears the byte sees all that was done before it was set.
        byte.swap(u8::from(on), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
