//! Makes a VM: the reference VMM around the kvm machine.

use std::{
    io::{self, Read},
    sync::Arc,
};

use kvm_bindings::KVM_SYNC_X86_VALID_FIELDS;
use kvm_ioctls::{Cap, Kvm, VmFd};
use oriel_protocol::{Identity, identity::Arch};
use rustix::io::Errno;
use uuid::Uuid;

use super::{
    arm::Arming,
    capabilities,
    chips::Chips,
    devices::Devices,
    error::KvmError,
    patched::PatchedRam,
    probe,
    program::Program,
    ram::{self, Ram},
    rests::Rests,
    serial::{Interrupt, SerialLine, type_from},
    sys::{
        signal::KickSignal,
        vm::{MappedVcpu, MappedVm},
    },
    tap::Tap,
    vcpu::KvmVcpu,
    vm::KvmVm,
    world::{MOST_VCPUS, World},
};
use crate::{Outlet, Parts, Vcpu};

/// What a VM is to be.
pub struct Config {
    /// Which VM it is.
    pub identity: Identity,
    /// How many vCPUs, 1 to 64.
    pub vcpus: u32,
    /// How much memory.
    pub memory_mib: u64,
    /// The signal that kicks vCPUs out of the guest.
    pub signal: i32,
    /// Where the guest's words go.
    pub outlet: Arc<dyn Outlet>,
    /// What it runs.
    pub program: Program,
    /// Whether it has interrupt controllers and a timer. With them only the first vCPU starts, and
    /// the others wait until it sends for them, as on hardware; without them all start at once.
    pub interrupts: bool,
    /// What is typed on the serial line. A thread of its own reads it.
    pub input: Option<Box<dyn Read + Send>>,
}

impl Config {
    /// One vCPU, a name of its own, and what the program needs: a flat image 16 MiB, a kernel
    /// 512 MiB and interrupts.
    pub fn new(program: impl Into<Program>, outlet: Arc<dyn Outlet>) -> Self {
        let program = program.into();
        let identity = Identity {
            uuid: Uuid::new_v4(),
            name: "guest".to_owned(),
            arch: Arch::X86_64,
        };
        let signal = KickSignal::default_number();
        Self {
            identity,
            vcpus: 1,
            memory_mib: program.memory_mib(),
            signal,
            outlet,
            interrupts: program.needs_interrupts(),
            program,
            input: None,
        }
    }

    /// Makes the VM, ready to run.
    ///
    /// # Errors
    /// [`KvmError`] names what is missing, and what to do about it.
    pub fn build(self) -> Result<Parts, KvmError> {
        self.check()?;
        let kvm = open()?;
        check_capabilities(&kvm)?;
        let ram = self.load()?;
        let habits = probe::habits(&kvm)?;
        let signal = KickSignal::install(self.signal).map_err(|source| KvmError::Signal {
            number: self.signal,
            source,
        })?;
        let vm = make_vm(&kvm, &ram)?;
        let chips = self.interrupts.then(|| Chips::install(vm.fd())).transpose();
        let chips = chips.map_err(KvmError::host("making the interrupt controllers"))?;
        let arming =
            Arming::new(&kvm, vm.fd(), habits).map_err(KvmError::host("KVM_ENABLE_CAP"))?;
        let memory = Arc::new(PatchedRam::new(ram.alias.clone()));
        let arming = Arc::new(arming.over(memory.clone()).shielded(vm.clone()));
        let vcpus = self.make_vcpus(&kvm, &vm, &arming, signal)?;
        let kicks = vcpus.iter().map(|(_, tap)| tap.kick().clone()).collect();
        let serial = self.serial(vm.fd())?;
        if let Some(input) = self.input {
            type_from(&serial, input).map_err(KvmError::host("reading the serial line's input"))?;
        }
        let world = World::new(kicks);
        let rests = chips
            .as_ref()
            .map(|_| Rests::watch(Arc::downgrade(&world), self.vcpus));
        let rests = rests
            .transpose()
            .map_err(KvmError::host("starting a thread"))?;
        let shared = KvmVm {
            identity: self.identity,
            capabilities: capabilities::of_vm(habits, self.interrupts),
            vm,
            ram,
            memory,
            vcpus: self.vcpus,
            program: self.program,
            devices: Devices::new(self.vcpus, self.outlet, serial),
            chips,
            arming,
            rests,
            world,
        };
        parts(Arc::new(shared), vcpus).map_err(KvmError::host("reading a vCPU's first state"))
    }

    /// What can be said before anything is made.
    fn check(&self) -> Result<(), KvmError> {
        if self.vcpus == 0 || self.vcpus > MOST_VCPUS {
            return Err(KvmError::Vcpus {
                asked: self.vcpus,
                most: MOST_VCPUS,
            });
        }
        ram::check(self.memory_mib)
    }

    /// Memory with the image in it.
    fn load(&self) -> Result<Ram, KvmError> {
        let ram = Ram::new(self.memory_mib)?;
        self.program.load(&ram.alias, self.vcpus)?;
        Ok(ram)
    }

    fn serial(&self, vm: &VmFd) -> Result<Arc<SerialLine>, KvmError> {
        let interrupt = match self.interrupts {
            true => Interrupt::connect(vm),
            false => Ok(Interrupt::default()),
        };
        let interrupt = interrupt.map_err(KvmError::host("KVM_IRQFD"))?;
        Ok(SerialLine::new(self.outlet.clone(), interrupt))
    }

    fn make_vcpus(
        &self,
        kvm: &Kvm,
        vm: &Arc<MappedVm>,
        arming: &Arc<Arming>,
        signal: KickSignal,
    ) -> Result<Vec<(MappedVcpu, Tap)>, KvmError> {
        let make = |index| {
            let vcpu = vm.create_vcpu(index)?;
            self.program
                .prepare((kvm, &vcpu.fd), index, self.vcpus, self.interrupts)?;
            let tap = Tap::new(vm.fd(), &vcpu.fd, index, arming.clone(), signal)?;
            Ok::<_, io::Error>((vcpu, tap))
        };
        let vcpus: Result<_, _> = (0..self.vcpus).map(make).collect();
        vcpus.map_err(KvmError::host("making a vCPU"))
    }
}

/// Whether VMs can be made here.
///
/// # Errors
/// [`KvmError`] names what is missing, and what to do about it.
pub fn is_usable() -> Result<(), KvmError> {
    check_capabilities(&open()?)
}

fn open() -> Result<Kvm, KvmError> {
    Kvm::new().map_err(unopened)
}

/// Why `/dev/kvm` did not open.
fn unopened(errno: kvm_ioctls::Error) -> KvmError {
    match Errno::from_raw_os_error(errno.errno()) {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => KvmError::NoDevice,
        Errno::ACCESS | Errno::PERM => KvmError::NotPermitted,
        _ => KvmError::host("opening /dev/kvm")(errno),
    }
}

pub(super) fn check_capabilities(kvm: &Kvm) -> Result<(), KvmError> {
    let needed = [
        (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
        (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
        (Cap::X86UserSpaceMsr, "KVM_CAP_X86_USER_SPACE_MSR"),
        (Cap::X86MsrFilter, "KVM_CAP_X86_MSR_FILTER"),
    ];
    if let Some((_, name)) = needed
        .into_iter()
        .find(|(cap, _)| !kvm.check_extension(*cap))
    {
        return Err(KvmError::Capability { name });
    }
    let fields = u32::try_from(kvm.check_extension_int(Cap::SyncRegs)).unwrap_or(0);
    if fields & KVM_SYNC_X86_VALID_FIELDS != KVM_SYNC_X86_VALID_FIELDS {
        return Err(KvmError::Capability {
            name: "KVM_CAP_SYNC_REGS",
        });
    }
    Ok(())
}

fn make_vm(kvm: &Kvm, ram: &Ram) -> Result<Arc<MappedVm>, KvmError> {
    let fd = kvm.create_vm().map_err(KvmError::host("KVM_CREATE_VM"))?;
    MappedVm::new(fd, ram.map()?).map_err(KvmError::host("KVM_SET_USER_MEMORY_REGION"))
}

fn parts(vm: Arc<KvmVm>, vcpus: Vec<(MappedVcpu, Tap)>) -> io::Result<Parts> {
    let vcpu = |(index, (mapped, tap))| {
        let vcpu = KvmVcpu::new(mapped, tap, vm.clone(), index)?;
        Ok(Box::new(vcpu) as Box<dyn Vcpu>)
    };
    let vcpus: io::Result<_> = (0..).zip(vcpus).map(vcpu).collect();
    Ok(Parts {
        vcpus: vcpus?,
        machine: vm,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kvm::Image, outlet::Kept};

    #[test]
    fn too_much_memory_and_too_many_vcpus_are_said_before_anything_is_made() {
        let image = || Image {
            bytes: vec![0xf4],
            load: 0x10_0000,
            entry: 0x10_0000,
        };
        let config = || Config::new(image(), Arc::new(Kept::default()));
        for memory_mib in [0, 1 << 40, u64::MAX] {
            let config = Config {
                memory_mib,
                ..config()
            };
            let error = config.build().unwrap_err();
            assert!(matches!(error, KvmError::Memory { asked, .. } if asked == memory_mib));
            assert!(error.to_string().contains("MiB of memory here"), "{error}");
        }
        for vcpus in [0, MOST_VCPUS + 1] {
            let error = Config { vcpus, ..config() }.build().unwrap_err();
            assert!(matches!(error, KvmError::Vcpus { asked, .. } if asked == vcpus));
        }
    }

    #[test]
    fn a_device_that_is_missing_or_not_permitted_is_told_with_the_next_step() {
        let said =
            |errno: Errno| unopened(kvm_ioctls::Error::new(errno.raw_os_error())).to_string();
        for missing in [Errno::NOENT, Errno::NODEV, Errno::NXIO] {
            assert!(said(missing).contains("does not exist: load the module"));
        }
        for forbidden in [Errno::ACCESS, Errno::PERM] {
            assert!(said(forbidden).contains("add the user to the group `kvm`"));
        }
        assert!(said(Errno::MFILE).contains("opening /dev/kvm failed"));
    }
}
