//! Why a VM could not be made, and what to do about it.

use std::io;

use thiserror::Error;

use super::kernel::KernelError;

/// A VM could not be made.
#[derive(Debug, Error)]
pub enum KvmError {
    /// There is no such device.
    #[error(
        "/dev/kvm does not exist: load the module kvm_intel or kvm_amd, and if that fails turn on virtualisation in the firmware, or nested virtualisation in the host of this one"
    )]
    NoDevice,
    /// This user may not open it.
    #[error(
        "/dev/kvm may not be opened by this user: add the user to the group `kvm`, or run as root"
    )]
    NotPermitted,
    /// Something is missing in the kernel.
    #[error("this kernel's KVM lacks {name}: run Linux 5.10 or later")]
    Capability {
        /// Its name in the KVM API.
        name: &'static str,
    },
    /// Too few vCPUs, or too many.
    #[error("a VM has 1 to {most} vCPUs here, not {asked}")]
    Vcpus {
        /// How many were asked for.
        asked: u32,
        /// How many there can be.
        most: u32,
    },
    /// No memory, or more than the host has.
    #[error("a VM has 1 to {host} MiB of memory here, which is what the host has, not {asked}")]
    Memory {
        /// MiB that were asked for.
        asked: u64,
        /// MiB that the host has.
        host: u64,
    },
    /// The image does not fit.
    #[error(
        "the image takes {bytes} bytes from {load:#x} on, which is not between the loader's tables and the end of memory ({first:#x} to {end:#x}): give the VM more memory, or load the image elsewhere"
    )]
    Image {
        /// How long it is.
        bytes: usize,
        /// Where it is to go.
        load: u64,
        /// Where images may begin.
        first: u64,
        /// Where the first block of memory ends.
        end: u64,
    },
    /// The kernel cannot be run.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The kick signal cannot be had.
    #[error(
        "signal {number} cannot be used for kicks: choose a real-time signal that nothing else uses"
    )]
    Signal {
        /// Which.
        number: i32,
        /// What the host said.
        source: io::Error,
    },
    /// The host's call failed.
    #[error("{action} failed")]
    Host {
        /// What was tried.
        action: &'static str,
        /// What the host said.
        source: io::Error,
    },
}

impl KvmError {
    /// For `map_err`: the host's call for `action` failed.
    pub(super) fn host<E: Into<io::Error>>(action: &'static str) -> impl Fn(E) -> Self {
        move |source| Self::Host {
            action,
            source: source.into(),
        }
    }
}
