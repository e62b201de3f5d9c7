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

use kvm_bindings::{
    KVM_EXIT_IO, KVM_EXIT_MMIO, KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_VALID_FIELDS,
    kvm_regs, kvm_run, kvm_sregs, kvm_vcpu_events,
};

use super::exit::{self, ExitData};
use crate::kvm::exit::RawExit;

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
pub(in crate::kvm) struct RunPage(Arc<Mapping>);

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
        Ok(Self(Arc::new(Mapping {
            start,
            length: size,
        })))
    }

    /// What other threads get.
    pub(in crate::kvm) fn immediate_exit(&self) -> ImmediateExit {
        ImmediateExit(self.0.clone())
    }

    fn run(&self) -> *mut kvm_run {
        self.0.start.as_ptr().cast()
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

    /// Asks for registers, system registers and events in the page on every exit, without an
    /// ioctl (`KVM_CAP_SYNC_REGS`; KVM API, 6.74).
    pub(in crate::kvm) fn ask_for_registers(&mut self) {
        // SAFETY: the field is mapped (`map`), and this thread alone writes it.
        unsafe {
            (&raw mut (*self.run()).kvm_valid_regs)
                .write_volatile(u64::from(KVM_SYNC_X86_VALID_FIELDS));
        }
    }

    /// The general registers as of the last exit, with what has been set since.
    pub(in crate::kvm) fn regs(&self) -> kvm_regs {
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.regs).read_volatile() }
    }

    /// Sets the general registers at the next `KVM_RUN`.
    pub(in crate::kvm) fn set_regs(&mut self, regs: &kvm_regs) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe { (&raw mut (*self.run()).s.regs.regs).write_volatile(*regs) };
        self.mark_dirty(KVM_SYNC_X86_REGS);
        // Setting registers makes KVM forget an exception that it has queued; the page has it.
        if self.events().exception.injected != 0 {
            self.mark_dirty(KVM_SYNC_X86_EVENTS);
        }
    }

    /// The system registers as of the last exit.
    pub(in crate::kvm) fn sregs(&self) -> kvm_sregs {
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.sregs).read_volatile() }
    }

    /// The instruction pointer as of the last exit. A register at a time is much cheaper than all,
    /// because the page must be read field by field.
    pub(in crate::kvm) fn rip(&self) -> u64 {
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.regs.rip).read_volatile() }
    }

    /// CR0 as of the last exit.
    pub(in crate::kvm) fn cr0(&self) -> u64 {
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.cr0).read_volatile() }
    }

    /// CR3 as of the last exit.
    pub(in crate::kvm) fn cr3(&self) -> u64 {
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.cr3).read_volatile() }
    }

    /// The privilege level as of the last exit: the one in SS (Intel SDM, volume 3, 6.5).
    pub(in crate::kvm) fn cpl(&self) -> u8 {
        // SAFETY: mapped (`map`); an integer.
        unsafe { (&raw const (*self.run()).s.regs.sregs.ss.dpl).read_volatile() & 3 }
    }

    /// Notes in the page what an ioctl has done to the system registers; KVM is not told again.
    pub(in crate::kvm) fn note_sregs(&mut self, sregs: &kvm_sregs) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            (&raw mut (*self.run()).s.regs.sregs).write_volatile(*sregs);
            // Without an in-kernel APIC, KVM takes CR8 from here at each entry.
            (&raw mut (*self.run()).cr8).write_volatile(sregs.cr8);
        }
    }

    /// Notes a change of the system registers that KVM has made by itself.
    pub(in crate::kvm) fn change_sregs(&mut self, change: impl FnOnce(&mut kvm_sregs)) {
        let mut sregs = self.sregs();
        change(&mut sregs);
        self.note_sregs(&sregs);
    }

    /// Notes in the page what an ioctl has done to the general registers.
    pub(in crate::kvm) fn note_regs(&mut self, regs: &kvm_regs) {
        // SAFETY: as in `set_regs`.
        unsafe { (&raw mut (*self.run()).s.regs.regs).write_volatile(*regs) };
    }

    /// Notes in the page what an ioctl has done to the pending events.
    pub(in crate::kvm) fn note_events(&mut self, events: &kvm_vcpu_events) {
        // SAFETY: as in `set_events`.
        unsafe { (&raw mut (*self.run()).s.regs.events).write_volatile(*events) };
    }

    /// The pending events as of the last exit.
    pub(in crate::kvm) fn events(&self) -> kvm_vcpu_events {
        // SAFETY: mapped (`map`); integers.
        unsafe { (&raw const (*self.run()).s.regs.events).read_volatile() }
    }

    /// Sets the pending events at the next `KVM_RUN`.
    pub(in crate::kvm) fn set_events(&mut self, events: &kvm_vcpu_events) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe { (&raw mut (*self.run()).s.regs.events).write_volatile(*events) };
        self.mark_dirty(KVM_SYNC_X86_EVENTS);
    }

    /// Forgets what was to be set at the next `KVM_RUN`.
    pub(in crate::kvm) fn forget_dirty(&mut self) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe { (&raw mut (*self.run()).kvm_dirty_regs).write_volatile(0) };
    }

    /// Forgets that the general registers were to be set at the next `KVM_RUN`; whether they were.
    pub(in crate::kvm) fn take_dirty_regs(&mut self) -> bool {
        let field = u64::from(KVM_SYNC_X86_REGS);
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            let dirty = &raw mut (*self.run()).kvm_dirty_regs;
            let before = dirty.read_volatile();
            dirty.write_volatile(before & !field);
            before & field != 0
        }
    }

    fn mark_dirty(&mut self, field: u32) {
        // SAFETY: mapped (`map`); this thread alone writes it while the vCPU is out of `KVM_RUN`.
        unsafe {
            let dirty = &raw mut (*self.run()).kvm_dirty_regs;
            dirty.write_volatile(dirty.read_volatile() | u64::from(field));
        }
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
                (offset, self.0.length.checked_sub(offset)?)
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
        Some(unsafe { self.0.start.as_ptr().add(start + at) })
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
