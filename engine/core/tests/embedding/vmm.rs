//! The VMM: its files, its memory, its devices and its loop.

#![expect(unsafe_code, reason = "a VMM tells KVM addresses of its memory")]

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_engine::{Assembly, Candidate, Engine, Station, VmHandle};
use oriel_machine::{
    End, Parts,
    kvm::{
        Bus, Effect, EmbeddedVcpu, Embedding, KickSignal, Protection, Ready, Seen, Shield, Then,
        exit::RawExit, pending::Place,
    },
};
use oriel_policy::{Host, HostSettings};
use oriel_protocol::{Identity, Verdict, identity::Arch};
use rustix::mm::MprotectFlags;
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

use crate::guest::{self, COUNTERS, MEMORY, PORT};

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
        let pages = self.mapping.pages.lock().unwrap();
        let closed = pages.iter().filter(|(_, how)| **how != Protection::Open);
        closed.map(|(gpa, _)| *gpa).collect()
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

/// Memory as KVM has it, and as the VMM goes by it: apart where there is a file.
fn memory(with_file: bool) -> (GuestMemoryMmap<()>, GuestMemoryMmap<()>) {
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
struct Mapping {
    memory: Arc<GuestMemoryMmap<()>>,
    pages: Arc<Mutex<BTreeMap<u64, Protection>>>,
}

impl Mapping {
    fn new(memory: GuestMemoryMmap<()>) -> Self {
        Self {
            memory: Arc::new(memory),
            pages: Arc::default(),
        }
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
pub(crate) struct Memory<'a>(&'a GuestMemoryMmap<()>);

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

/// A port at which vCPUs say whether their store stands.
#[derive(Default)]
pub(crate) struct Devices(Mutex<Vec<(u32, bool)>>);

impl Devices {
    /// What a vCPU has said, and no longer keeps it.
    pub(crate) fn take(&self, vcpu: u32) -> Vec<bool> {
        let mut said = self.0.lock().unwrap();
        let taken = said.extract_if(.., |(from, _)| *from == vcpu);
        taken.map(|(_, stands)| stands).collect()
    }
}

impl Bus for Devices {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0xff);
    }

    fn write(&self, vcpu: u32, place: Place, from: &[u8]) -> Effect {
        assert_eq!(place, Place::Port(PORT));
        self.0.lock().unwrap().push((vcpu, from == [1]));
        Effect::None
    }
}

/// A vCPU of the VMM, for the thread that runs it.
pub(crate) struct Seat<'a> {
    pub(crate) fd: &'a mut VcpuFd,
    pub(crate) devices: &'a Devices,
}

impl Seat<'_> {
    /// The VMM's loop, to the end.
    pub(crate) fn run_to_the_end(mut self, mut station: Station) -> End {
        station.ready();
        let end = self.turns(&mut station, u64::MAX);
        station.leave(&end);
        end
    }

    /// At most so many rounds of the loop.
    pub(crate) fn turns(&mut self, station: &mut Station, rounds: u64) -> End {
        let mut verdict = None;
        for _ in 0..rounds {
            if let Some(end) = self.turn(station, &mut verdict) {
                return end;
            }
        }
        End::Cancelled
    }

    /// One round, which carries out this verdict and leaves the next one.
    pub(crate) fn turn(
        &mut self,
        station: &mut Station,
        verdict: &mut Option<Verdict>,
    ) -> Option<End> {
        if let Some(end) = station.board(verdict.as_ref()) {
            return Some(end);
        }
        let vcpu: &mut EmbeddedVcpu = station.vcpu().unwrap();
        let decided = verdict.take().unwrap_or_default();
        let then = vcpu.apply(self.devices, decided).unwrap();
        assert!(
            matches!(then, Then::Enter | Then::Asked(Effect::None)),
            "{then:?}"
        );
        let next = match vcpu.ready().unwrap() {
            Ready::Run => vcpu.ran(self.fd.run().map(drop)).unwrap(),
            ready @ (Ready::Decode | Ready::Kicked) => ready,
        };
        if next == Ready::Kicked {
            return None;
        }
        match vcpu.decode(self.devices).unwrap() {
            Seen::Event(event) => *verdict = Some(station.judge(&event)),
            Seen::Handled => {}
            Seen::NotOurs(exit @ RawExit::Port(_)) => {
                assert_eq!(vcpu.serve(self.devices, &exit), Effect::None);
            }
            Seen::NotOurs(exit) => panic!("{exit:?}"),
        }
        None
    }
}
