//! What a VM runs: a flat image, or a Linux kernel. How each is brought into memory, and where its
//! vCPUs start.

use std::io;

use kvm_ioctls::{Kvm, VcpuFd};
use oriel_protocol::Gpa;
use vm_memory::GuestMemoryMmap;

use super::{
    error::KvmError,
    kernel::Kernel,
    loader::{self, Image},
    ram::HOLE,
};
use crate::GuestMemory as _;

/// What a VM runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Machine code that starts in long mode, as `docs/guests.md` says.
    Flat(Image),
    /// A Linux kernel.
    Linux(Kernel),
}

impl From<Image> for Program {
    fn from(image: Image) -> Self {
        Self::Flat(image)
    }
}

impl From<Kernel> for Program {
    fn from(kernel: Kernel) -> Self {
        Self::Linux(kernel)
    }
}

impl Program {
    /// Memory that it is content with, where nothing else is said.
    pub(super) const fn memory_mib(&self) -> u64 {
        match self {
            Self::Flat(_) => 16,
            Self::Linux(_) => 512,
        }
    }

    /// Whether it cannot do without interrupts.
    pub(super) const fn needs_interrupts(&self) -> bool {
        matches!(self, Self::Linux(_))
    }

    /// Brings it into memory, for so many vCPUs.
    ///
    /// # Errors
    /// [`KvmError`] if it does not fit, or is not what it seemed to be.
    pub(super) fn load(&self, memory: &GuestMemoryMmap<()>, vcpus: u32) -> Result<(), KvmError> {
        match self {
            Self::Flat(image) => {
                image.check(low_end(memory))?;
                let loaded = image.load(memory).map_err(io::Error::other);
                loaded.map_err(KvmError::host("loading the image"))
            }
            Self::Linux(kernel) => Ok(kernel.load(memory, vcpus)?),
        }
    }

    /// Gives a vCPU of so many its features and its first registers. With interrupt controllers
    /// only the first one starts; the others wait until it sends for them (INIT and SIPI).
    pub(super) fn prepare(
        &self,
        (kvm, vcpu): (&Kvm, &VcpuFd),
        index: u32,
        vcpus: u32,
        has_chips: bool,
    ) -> io::Result<()> {
        match self {
            _ if has_chips && index > 0 => loader::set_features(kvm, vcpu, index),
            Self::Flat(image) => loader::prepare(kvm, vcpu, image, index, vcpus),
            Self::Linux(kernel) => {
                loader::set_features(kvm, vcpu, index)?;
                kernel.start(vcpu)
            }
        }
    }
}

/// The end of the block of memory that begins at 0.
pub(super) fn low_end(memory: &GuestMemoryMmap<()>) -> Gpa {
    memory.end().min(HOLE)
}
