//! The VMM's memory: as KVM has it, and as the VMM goes by it.

#![expect(unsafe_code, reason = "a VMM protects its memory")]

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use oriel_machine::kvm::{Protection, Shield};
use rustix::mm::MprotectFlags;
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

use crate::guest::{self, COUNTERS, MEMORY};

/// Memory as KVM has it, and as the VMM goes by it: apart where there is a file.
pub(crate) fn memory(with_file: bool) -> (GuestMemoryMmap<()>, GuestMemoryMmap<()>) {
    let map = |file: Option<OwnedFd>| {
        let file = file.map(|file| FileOffset::new(file.into(), 0));
        GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), MEMORY, file)]).unwrap()
    };
    if !with_file {
        let memory = map(None);
        return (memory.clone(), memory);
    }
    let file = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, MEMORY as u64).unwrap();
    (map(Some(file.try_clone().unwrap())), map(Some(file)))
}

/// The mapping that KVM uses, with what is protected of it, by page.
#[derive(Clone)]
pub(crate) struct Mapping {
    pub(crate) memory: Arc<GuestMemoryMmap<()>>,
    pages: Arc<Mutex<BTreeMap<u64, Protection>>>,
}

impl Mapping {
    pub(crate) fn new(memory: GuestMemoryMmap<()>) -> Self {
        Self {
            memory: Arc::new(memory),
            pages: Arc::default(),
        }
    }

    /// The pages that are protected.
    pub(crate) fn protected(&self) -> Vec<u64> {
        let pages = self.pages.lock().unwrap();
        let closed = pages.iter().filter(|(_, how)| **how != Protection::Open);
        closed.map(|(gpa, _)| *gpa).collect()
    }
}

impl Shield for Mapping {
    fn protect(&self, gpa: u64, length: u64, protection: Protection) -> io::Result<()> {
        let rights = match protection {
            Protection::Open => MprotectFlags::READ | MprotectFlags::WRITE,
            Protection::NoWrite => MprotectFlags::READ,
            Protection::Closed => MprotectFlags::empty(),
        };
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        let slice = self.memory.get_slice(GuestAddress(gpa), bytes);
        let start = slice.map_err(io::Error::other)?.ptr_guard_mut().as_ptr();
        // SAFETY: the slice lies in the mapping that `self` keeps. Nothing here reads or writes by
        // that mapping while it may be protected: these tests go by `alias`, KVM gets an error.
        unsafe { rustix::mm::mprotect(start.cast(), bytes, rights) }?;
        let mut pages = self.pages.lock().unwrap();
        pages.extend(
            (gpa..gpa + length)
                .step_by(0x1000)
                .map(|at| (at, protection)),
        );
        Ok(())
    }
}

/// Guest memory as it is, managed breakpoints included.
pub(crate) struct Memory<'a>(pub(crate) &'a GuestMemoryMmap<()>);

impl Memory<'_> {
    pub(crate) fn byte(&self, gpa: u64) -> u8 {
        self.0.read_obj(GuestAddress(gpa)).unwrap()
    }

    /// How often a vCPU has counted.
    pub(crate) fn counted(&self, vcpu: u64) -> u64 {
        let at = GuestAddress(COUNTERS + 8 * vcpu);
        self.0.read_obj(at).unwrap()
    }

    /// The page of the guest's code.
    pub(crate) fn code(&self) -> Vec<u8> {
        let mut code = vec![0; 0x1000];
        let at = GuestAddress(guest::ENTRY);
        self.0.read_slice(&mut code, at).unwrap();
        code
    }
}
