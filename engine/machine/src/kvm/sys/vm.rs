//! A VM with the memory that it runs on: neither can go before the other.

#![expect(unsafe_code, reason = "KVM is told addresses of our memory")]

use std::{io, sync::Arc};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{VcpuFd, VmFd};
use oriel_protocol::Gpa;
use vm_memory::{
    Address as _, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion as _,
    MemoryRegionAddress,
};

use crate::kvm::traps::{Protection, Shield};

/// Three pages that no guest's memory reaches.
const TSS: usize = 0xfffb_d000;

/// A VM whose memory slots are the regions of a mapping that it owns.
pub(in crate::kvm) struct MappedVm {
    // Dropped first, and with it the slots; vCPUs keep the whole of `MappedVm` alive.
    fd: VmFd,
    memory: GuestMemoryMmap<()>,
}

impl Shield for Arc<MappedVm> {
    fn protect(&self, gpa: Gpa, length: u64, protection: Protection) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let slice = self.memory.get_slice(GuestAddress(gpa), length);
        let guard = slice.map_err(io::Error::other)?.ptr_guard_mut();
        let rights = match protection {
            Protection::Open => libc::PROT_READ | libc::PROT_WRITE,
            Protection::NoWrite => libc::PROT_READ,
            Protection::Closed => libc::PROT_NONE,
        };
        // SAFETY: `get_slice` has checked that `length` bytes from there on are one mapping that
        // `memory` owns. Nothing in this process reads or writes that mapping: it is private to
        // this struct, which only tells KVM its address, and KVM answers a failed access with an
        // error. `mprotect` checks the alignment.
        let done = unsafe { libc::mprotect(guard.as_ptr().cast(), guard.len(), rights) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// A vCPU that keeps its VM's memory mapped.
pub(in crate::kvm) struct MappedVcpu {
    // Dropped first: a vCPU's file keeps the kernel's VM, and so its slots, alive.
    pub(in crate::kvm) fd: VcpuFd,
    pub(in crate::kvm) vm: Arc<MappedVm>,
}

impl MappedVm {
    /// Gives the VM a slot for each region (KVM API, 4.35), and VMX the pages that it needs where
    /// guests are restricted (4.41).
    pub(in crate::kvm) fn new(fd: VmFd, memory: GuestMemoryMmap<()>) -> io::Result<Arc<Self>> {
        fd.set_tss_address(TSS)?;
        for (slot, region) in (0u32..).zip(memory.iter()) {
            let address = region
                .get_host_address(MemoryRegionAddress(0))
                .map_err(io::Error::other)?;
            let region = kvm_userspace_memory_region {
                slot,
                flags: 0,
                guest_phys_addr: region.start_addr().raw_value(),
                memory_size: region.len(),
                userspace_addr: address as u64,
            };
            // SAFETY: `address` is the start of a mapping of `region.len()` bytes that `memory`
            // owns; `memory` moves into the same struct as `fd` below, is private there and never
            // replaced, and outlives every file of the VM by the order of the fields above.
            // Regions of one `GuestMemoryMmap` do not overlap.
            unsafe { fd.set_user_memory_region(region) }?;
        }
        Ok(Arc::new(Self { fd, memory }))
    }

    /// The VM.
    pub(in crate::kvm) fn fd(&self) -> &VmFd {
        &self.fd
    }

    /// Makes a vCPU.
    pub(in crate::kvm) fn create_vcpu(self: &Arc<Self>, index: u32) -> io::Result<MappedVcpu> {
        let fd = self.fd.create_vcpu(u64::from(index))?;
        Ok(MappedVcpu {
            fd,
            vm: self.clone(),
        })
    }
}
