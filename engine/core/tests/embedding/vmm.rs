//! The VMM: its files, and introspection on them.

#![expect(unsafe_code, reason = "a VMM tells KVM addresses of its memory")]

use std::{sync::Arc, thread, time::Duration};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_engine::{Assembly, Candidate, Engine, Station, VmHandle};
use oriel_machine::{
    Parts,
    kvm::{Embedding, KickSignal, Shield},
};
use oriel_policy::{Host, HostSettings};
use oriel_protocol::{Identity, identity::Arch};
use vm_memory::{GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

use crate::{
    guest::{self, MEMORY},
    memory::{Mapping, Memory, memory},
    seat::{Devices, Seat},
};

pub(crate) const VCPUS: usize = 2;
/// Long enough for any host; nothing but failure is decided by it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What a VMM is made of.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) code: &'static [u8],
    /// There is a file behind its memory.
    pub(crate) file: bool,
    /// It protects its memory where it is told to.
    pub(crate) shield: bool,
    pub(crate) signal: KickSignal,
}

impl Setup {
    pub(crate) fn plain() -> Self {
        Self {
            code: guest::ROUNDS,
            file: true,
            shield: false,
            signal: KickSignal::install(KickSignal::default_number()).unwrap(),
        }
    }

    pub(crate) fn shielded() -> Self {
        Self {
            shield: true,
            ..Self::plain()
        }
    }
}

/// The VMM's files and memory; dropped in this order.
pub(crate) struct Vmm {
    pub(crate) vcpus: Vec<VcpuFd>,
    vm: VmFd,
    mapping: Mapping,
    /// The same memory, never protected.
    alias: GuestMemoryMmap<()>,
    pub(crate) devices: Devices,
    kvm: Kvm,
    setup: Setup,
}

impl Vmm {
    /// None without KVM.
    pub(crate) fn new(setup: Setup) -> Option<Self> {
        let kvm = kvm()?;
        let (memory, alias) = memory(setup.file);
        guest::load(&alias, setup.code);
        let vm = kvm.create_vm().unwrap();
        let region = kvm_userspace_memory_region {
            memory_size: MEMORY as u64,
            userspace_addr: memory.get_host_address(GuestAddress(0)).unwrap() as u64,
            ..Default::default()
        };
        // SAFETY: the region is the whole mapping of `memory`, which `Vmm` keeps longer than the VM.
        unsafe { vm.set_user_memory_region(region) }.unwrap();
        let vcpus = (0..VCPUS)
            .map(|index| guest::vcpu(&kvm, &vm, index as u64))
            .collect();
        Some(Self {
            vcpus,
            vm,
            mapping: Mapping::new(memory),
            alias,
            devices: Devices::default(),
            kvm,
            setup,
        })
    }

    pub(crate) fn attach(&self) -> Parts {
        let files: Vec<_> = self.vcpus.iter().collect();
        let shield = || -> Box<dyn Shield> { Box::new(self.mapping.clone()) };
        let embedding = Embedding {
            identity: Identity {
                uuid: uuid::Uuid::nil(),
                name: "embedded".to_owned(),
                arch: Arch::X86_64,
            },
            kvm: &self.kvm,
            vm: &self.vm,
            vcpus: &files,
            memory: &self.mapping.memory,
            signal: self.setup.signal,
            shield: self.setup.shield.then(shield),
        };
        embedding.attach().unwrap()
    }

    pub(crate) fn assemble(&self, judge: Candidate) -> Assembly {
        let host = Arc::new(Host::new(HostSettings::default()).unwrap());
        let engine = Engine::new(host, self.attach()).judge(judge);
        engine.assemble().unwrap()
    }

    /// Introspection with this judge; each vCPU goes to a thread with its station.
    pub(crate) fn run<T: Send>(
        &mut self,
        judge: Candidate,
        each: impl Fn(Station, Seat<'_>) -> T + Sync,
        meanwhile: impl FnOnce(&VmHandle, &Memory<'_>),
    ) -> (Vec<T>, VmHandle) {
        let Assembly {
            stations, handle, ..
        } = self.assemble(judge);
        let (each, devices) = (&each, &self.devices);
        let memory = Memory(&self.alias);
        let ends = thread::scope(|scope| {
            let threads: Vec<_> = (stations.into_iter().zip(&mut self.vcpus))
                .map(|(station, fd)| scope.spawn(move || each(station, Seat { fd, devices })))
                .collect();
            meanwhile(&handle, &memory);
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        (ends, handle)
    }

    /// One vCPU, for the thread that runs it.
    pub(crate) fn seat(&mut self, index: usize) -> Seat<'_> {
        Seat {
            fd: &mut self.vcpus[index],
            devices: &self.devices,
        }
    }

    pub(crate) fn memory(&self) -> Memory<'_> {
        Memory(&self.alias)
    }

    /// What is protected of the mapping that KVM uses.
    pub(crate) fn protected(&self) -> Vec<u64> {
        self.mapping.protected()
    }
}

pub(crate) fn kvm() -> Option<Kvm> {
    match Kvm::new() {
        Ok(kvm) => Some(kvm),
        Err(error) => {
            let required = std::env::var("ORIEL_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|one| one.trim() == "kvm"),
                "ORIEL_REQUIRE names kvm: {error}"
            );
            eprintln!("SKIPPED: /dev/kvm cannot be opened ({error})");
            None
        }
    }
}
