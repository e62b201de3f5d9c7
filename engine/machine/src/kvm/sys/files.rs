//! Other handles on files of KVM that somebody else owns.

#![expect(
    unsafe_code,
    reason = "kvm-ioctls makes its types from bare file numbers only"
)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, IntoRawFd},
};

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use rustix::io::fcntl_dupfd_cloexec;

/// Another handle on a VM.
pub(in crate::kvm) fn same_vm(kvm: &Kvm, vm: &VmFd) -> io::Result<VmFd> {
    let number = duplicate(vm)?;
    // SAFETY: `number` has just been made by `duplicate`, is handed to nobody else, and is of the
    // same file as `vm`, which is a VM's. `VmFd` becomes its only owner.
    Ok(unsafe { kvm.create_vmfd_from_rawfd(number) }?)
}

/// Another handle on a vCPU of this VM.
pub(in crate::kvm) fn same_vcpu(vm: &VmFd, vcpu: &VcpuFd) -> io::Result<VcpuFd> {
    let number = duplicate(vcpu)?;
    // SAFETY: `number` has just been made by `duplicate`, is handed to nobody else, and is of the
    // same file as `vcpu`, which is a vCPU's. `VcpuFd` becomes its only owner, and maps `kvm_run`
    // a second time for itself: each handle only ever makes references into its own mapping.
    Ok(unsafe { vm.create_vcpu_from_rawfd(number) }?)
}

/// A new number for the same file, which whoever gets it has to close.
fn duplicate(file: &impl AsRawFd) -> io::Result<i32> {
    // SAFETY: `file` is borrowed for the length of this call and open as long.
    let file = unsafe { BorrowedFd::borrow_raw(file.as_raw_fd()) };
    Ok(fcntl_dupfd_cloexec(file, 0)?.into_raw_fd())
}
