//! A VMM with one vCPU, that runs a guest for so many exits: bare, or with introspection.

#![expect(unsafe_code, reason = "a VMM tells KVM addresses of its memory")]

use std::{io, os::fd::OwnedFd, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, SyncReg, VcpuExit, VcpuFd, VmFd};
use oriel_engine::{Candidate, Engine, Station};
use oriel_machine::{
    Parts, Wants,
    kvm::{
        Bus, Effect, EmbeddedVcpu, Embedding, KickSignal, Protection, Ready, Seen, Shield,
        pending::Place,
    },
};
use oriel_policy::Host;
use oriel_protocol::{Identity, identity::Arch};
use rustix::mm::MprotectFlags;
use vm_memory::{Bytes as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap};

const MEMORY: usize = 16 << 20;
pub(crate) const ENTRY: u64 = 0x1000;

/// `mov ecx, LSTAR; xor edx, edx; xor eax, eax; add eax, 0x1000; wrmsr; jmp` to the addition.
pub(crate) const MSRS: &[u8] = &[
    0x66, 0xb9, 0x82, 0x00, 0x00, 0xc0, 0x66, 0x31, 0xd2, 0x66, 0x31, 0xc0, 0x66, 0x05, 0x00, 0x10,
    0x00, 0x00, 0x0f, 0x30, 0xeb, 0xf6,
];
/// `out 0x80, al; jmp` to it.
pub(crate) const PORTS: &[u8] = &[0xe6, 0x80, 0xeb, 0xfc];

/// What is counted of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// Exits of the guest, whatever comes of them.
    Exits,
    /// Events that were judged.
    Events,
}

/// Whoever looks after the vCPU.
enum Care {
    /// Nobody.
    None,
    /// The tap alone, which keeps the filter in place.
    #[expect(dead_code, reason = "it is held, not looked at")]
    Tap(Parts),
    /// A station, with its judges.
    Station(Box<Station>),
}

pub(crate) struct Vmm {
    // Dropped in this order.
    care: Care,
    pub(crate) vcpu: VcpuFd,
    vm: VmFd,
    /// As KVM has it, and protects it.
    memory: Arc<GuestMemoryMmap<()>>,
    /// The same memory, never protected.
    pub(crate) alias: GuestMemoryMmap<()>,
    kvm: Kvm,
}

/// Protects the mapping that KVM uses.
pub(crate) struct Mapping(Arc<GuestMemoryMmap<()>>);

impl Shield for Mapping {
    fn protect(&self, gpa: u64, length: u64, protection: Protection) -> io::Result<()> {
        let rights = match protection {
            Protection::Open => MprotectFlags::READ | MprotectFlags::WRITE,
            Protection::NoWrite => MprotectFlags::READ,
            Protection::Closed => MprotectFlags::empty(),
        };
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let slice = self.0.get_slice(GuestAddress(gpa), length);
        let slice = slice.map_err(io::Error::other)?;
        let start = slice.ptr_guard_mut().as_ptr();
        // SAFETY: the slice lies in the mapping that `self` keeps. Nothing here reads or writes by
        // that mapping while it may be protected: this program goes by `alias`, KVM gets an error.
        Ok(unsafe { rustix::mm::mprotect(start.cast(), length, rights) }?)
    }
}

struct NoDevices;

impl Bus for NoDevices {
    fn read(&self, _: u32, _: Place, to: &mut [u8]) {
        to.fill(0xff);
    }

    fn write(&self, _: u32, _: Place, _: &[u8]) -> Effect {
        Effect::None
    }
}

impl Vmm {
    /// A VM that runs this code, without introspection.
    pub(crate) fn new(code: &[u8]) -> Result<Self> {
        let kvm = Kvm::new()?;
        let (memory, alias) = memory(code)?;
        let vm = kvm.create_vm()?;
        let region = kvm_userspace_memory_region {
            memory_size: MEMORY as u64,
            userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
            ..Default::default()
        };
        // SAFETY: the region is the whole mapping of `memory`, which `Vmm` keeps longer than the VM.
        unsafe { vm.set_user_memory_region(region) }?;
        let vcpu = vcpu(&kvm, &vm)?;
        Ok(Self {
            care: Care::None,
            vcpu,
            vm,
            memory: Arc::new(memory),
            alias,
            kvm,
        })
    }

    /// What protects its memory.
    pub(crate) fn shield(&self) -> Mapping {
        Mapping(self.memory.clone())
    }

    fn attach(&self) -> Result<Parts> {
        let embedding = Embedding {
            identity: Identity {
                uuid: uuid::Uuid::nil(),
                name: "bench".to_owned(),
                arch: Arch::X86_64,
            },
            kvm: &self.kvm,
            vm: &self.vm,
            vcpus: &[&self.vcpu],
            memory: &self.memory,
            signal: KickSignal::install(KickSignal::default_number())?,
            shield: Some(Box::new(self.shield())),
        };
        Ok(embedding.attach()?)
    }

    /// With a tap that reports these wants, and nobody behind it.
    pub(crate) fn armed(mut self, wants: &Wants) -> Result<Self> {
        let parts = self.attach()?;
        parts.machine.arm(wants)?;
        self.care = Care::Tap(parts);
        Ok(self)
    }

    /// Whose `KVM_RUN` brings the state that an event tells of: the general registers for its place,
    /// the special ones for its address space and ring.
    pub(crate) fn asking(mut self) -> Self {
        self.vcpu.set_sync_valid_reg(SyncReg::Register);
        self.vcpu.set_sync_valid_reg(SyncReg::SystemRegister);
        self
    }

    /// With an engine, and this judge if there is one.
    pub(crate) fn under(mut self, host: &Arc<Host>, judge: Option<Candidate>) -> Result<Self> {
        let engine = Engine::new(host.clone(), self.attach()?);
        let engine = judge.into_iter().fold(engine, Engine::judge);
        let mut station = engine.assemble()?.stations.remove(0);
        station.ready();
        self.care = Care::Station(Box::new(station));
        Ok(self)
    }

    /// Runs for so many exits without introspection, as a VMM would that answers them itself.
    pub(crate) fn bare(&mut self, exits: u32) -> Result<()> {
        for _ in 0..exits {
            let exit = self.vcpu.run()?;
            if matches!(exit, VcpuExit::IoOut(..)) {
                continue;
            }
            let VcpuExit::X86Wrmsr(exit) = exit else {
                bail!("{exit:?}");
            };
            *exit.error = 0;
            let (index, data) = (exit.index, exit.data);
            let entry = kvm_msr_entry {
                index,
                data,
                ..Default::default()
            };
            let written = self.vcpu.set_msrs(&Msrs::from_entries(&[entry])?)?;
            ensure!(written == 1, "the MSR was not written");
        }
        Ok(())
    }

    /// Runs for so many exits or events by the loop of `examples/embed.rs`.
    pub(crate) fn judged(&mut self, most: u32, of: Count) -> Result<()> {
        let Care::Station(station) = &mut self.care else {
            bail!("there is no station");
        };
        let (mut verdict, mut done) = (None, 0);
        while done < most {
            if let Some(end) = station.board(verdict.as_ref()) {
                bail!("{end}");
            }
            let tap: &mut EmbeddedVcpu = station.vcpu().context("an embedder's vCPU")?;
            tap.apply(&NoDevices, verdict.take().unwrap_or_default())?;
            let next = match tap.ready()? {
                Ready::Run => tap.ran(self.vcpu.run().map(drop))?,
                ready @ (Ready::Decode | Ready::Kicked) => ready,
            };
            if next == Ready::Kicked {
                continue;
            }
            done += u32::from(of == Count::Exits);
            match tap.decode(&NoDevices)? {
                Seen::Event(event) => {
                    done += u32::from(of == Count::Events);
                    verdict = Some(station.judge(&event));
                }
                Seen::Handled => {}
                Seen::NotOurs(exit) => {
                    let _ = tap.serve(&NoDevices, &exit);
                }
            }
        }
        Ok(())
    }
}

/// Memory with this code in it, mapped twice.
fn memory(code: &[u8]) -> Result<(GuestMemoryMmap<()>, GuestMemoryMmap<()>)> {
    let file = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC)?;
    rustix::fs::ftruncate(&file, MEMORY as u64)?;
    let map = |file: OwnedFd| {
        let file = FileOffset::new(file.into(), 0);
        GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), MEMORY, Some(file))])
    };
    let (memory, alias) = (map(file.try_clone()?)?, map(file)?);
    alias.write_slice(code, GuestAddress(ENTRY))?;
    Ok((memory, alias))
}

fn vcpu(kvm: &Kvm, vm: &VmFd) -> Result<VcpuFd> {
    let vcpu = vm.create_vcpu(0)?;
    vcpu.set_cpuid2(&kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?)?;
    let mut sregs = vcpu.get_sregs()?;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs)?;
    let mut regs = vcpu.get_regs()?;
    regs.rip = ENTRY;
    vcpu.set_regs(&regs)?;
    Ok(vcpu)
}
