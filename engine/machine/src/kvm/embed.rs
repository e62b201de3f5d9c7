//! For a VMM that owns its files of KVM, its devices and the loop around `KVM_RUN`: introspection
//! beside it (`docs/embedding.md`).
//!
//! ```text
//!   the VMM's loop                         here
//!   ──────────────                         ────
//!   station.board(verdict)                 mailbox, pauses, register writes
//!   vcpu.apply(bus, verdict)  ───────────► what the verdict asks for
//!   vcpu.ready()              ───────────► Run | Decode | Kicked; waits while others hold it
//!   fd.run(), vcpu.ran(…)
//!   vcpu.decode(bus)          ───────────► Event | Handled | NotOurs
//!   station.judge(&event)
//! ```
//! Nothing here calls `KVM_RUN` to run the guest, makes a device, or owns the VMM's files: it has
//! handles of its own on them.

mod let_go;
mod machine;
mod vcpu;

use std::{io, sync::Arc};

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use oriel_protocol::Identity;
use vm_memory::GuestMemoryMmap;

pub use vcpu::{EmbeddedVcpu, Ready};

use super::{
    arm::Arming,
    build,
    error::KvmError,
    patched::PatchedRam,
    probe, ram,
    sys::{files, signal::KickSignal},
    tap::Tap,
    traps::Shield,
    world::{MOST_VCPUS, World},
};
use crate::{Parts, Vcpu};
use machine::EmbeddedVm;

/// What a VMM lends to introspection.
pub struct Embedding<'a> {
    /// Which VM it is.
    pub identity: Identity,
    /// Where the VM comes from.
    pub kvm: &'a Kvm,
    /// The VM, with its memory in place.
    pub vm: &'a VmFd,
    /// Its vCPUs, in the order of their numbers, from 0; each with its CPUID set.
    pub vcpus: &'a [&'a VcpuFd],
    /// Its memory, as KVM has it. Where each region says of which file it is, and from which
    /// offset on, introspection reads and writes by a mapping of its own.
    pub memory: &'a GuestMemoryMmap<()>,
    /// What kicks vCPUs out of the guest.
    pub signal: KickSignal,
    /// Protects the mapping that KVM uses, for page traps; none: there are none. There are none
    /// either where a region of memory has no file.
    pub shield: Option<Box<dyn Shield>>,
}

impl Embedding<'_> {
    /// Introspection for this VM: for [`oriel-engine`'s `Engine`], whose stations then have the
    /// vCPUs, as [`EmbeddedVcpu`].
    ///
    /// [`oriel-engine`'s `Engine`]: https://docs.rs/oriel-engine
    ///
    /// # Errors
    /// [`KvmError`] names what is missing, and what to do about it.
    pub fn attach(mut self) -> Result<Parts, KvmError> {
        build::check_capabilities(self.kvm)?;
        let asked = u32::try_from(self.vcpus.len()).unwrap_or(u32::MAX);
        if asked == 0 || asked > MOST_VCPUS {
            return Err(KvmError::Vcpus {
                asked,
                most: MOST_VCPUS,
            });
        }
        let habits = probe::habits(self.kvm)?;
        let vm = files::same_vm(self.kvm, self.vm).map_err(KvmError::host("dup"))?;
        let (memory, shared) = match ram::alias(self.memory)? {
            Some(alias) => (alias, true),
            None => (self.memory.clone(), false),
        };
        let memory = Arc::new(PatchedRam::new(memory));
        let arming = Arming::new(self.kvm, &vm, habits);
        let arming = arming.map_err(KvmError::host("KVM_ENABLE_CAP"))?;
        let arming = arming.over(memory.clone());
        let shield = self.shield.take().filter(|_| shared);
        let traps = match (shared, &shield) {
            (false, _) => Err(machine::NOT_SHARED),
            (true, None) => Err(machine::NO_SHIELD),
            (true, Some(_)) => Ok(()),
        };
        let arming = Arc::new(match shield {
            Some(shield) => arming.shielded(shield),
            None => arming,
        });
        let taps = self.taps(&vm, &arming);
        let taps = taps.map_err(KvmError::host("tapping a vCPU"))?;
        let world = World::new(taps.iter().map(|(_, tap)| tap.kick().clone()).collect());
        let vcpus = (0..).zip(taps).map(|(index, (fd, tap))| {
            let vcpu = EmbeddedVcpu::new((fd, tap), &vm, world.clone(), index);
            Box::new(vcpu) as Box<dyn Vcpu>
        });
        let vcpus = vcpus.collect();
        let machine = EmbeddedVm {
            identity: self.identity,
            capabilities: machine::capabilities(habits, shared, traps),
            vm,
            memory,
            arming,
            world,
        };
        Ok(Parts {
            machine: Arc::new(machine),
            vcpus,
        })
    }

    fn taps(&self, vm: &VmFd, arming: &Arc<Arming>) -> io::Result<Vec<(VcpuFd, Tap)>> {
        let tap = |(index, vcpu): (u32, &&VcpuFd)| {
            let fd = files::same_vcpu(vm, vcpu)?;
            let tap = Tap::new(vm, &fd, index, arming.clone(), self.signal)?;
            Ok((fd, tap))
        };
        (0..).zip(self.vcpus).map(tap).collect()
    }
}

impl std::fmt::Debug for Embedding<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, vcpus) = (&self.identity.name, self.vcpus.len());
        write!(out, "Embedding({name}, {vcpus} vCPUs)")
    }
}
