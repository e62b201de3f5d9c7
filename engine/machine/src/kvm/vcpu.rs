//! One vCPU of the reference VMM.

use std::sync::Arc;

use kvm_ioctls::VcpuFd;
use oriel_protocol::{Refusal, Verdict};

use super::{
    boot::Boot,
    kick::Kick,
    sys::{vm::MappedVcpu, xsave::FitsArea},
    tap::Tap,
    tapped::{Tapped, unhalt},
    vm::KvmVm,
};
use crate::{Exit, Kicker, MachineError, Unjudged, Vcpu};

mod reset;
mod run;
mod serve;

/// One vCPU, for the thread that enters it.
pub(super) struct KvmVcpu {
    // Both have a file of the vCPU, which go first, then what keeps the memory behind it.
    tap: Tap,
    mapped: MappedVcpu,
    kick: Arc<Kick>,
    vm: Arc<KvmVm>,
    index: u32,
    boot: Boot,
    fits: Option<FitsArea>,
    /// How many resets of the VM this vCPU has been through.
    resets: u64,
    /// A reset is decided on, and waits for the others to be held.
    must_reset: bool,
}

impl KvmVcpu {
    pub(super) fn new(
        mapped: MappedVcpu,
        tap: Tap,
        vm: Arc<KvmVm>,
        index: u32,
    ) -> std::io::Result<Self> {
        let fits = FitsArea::check(mapped.vm.fd());
        let boot = Boot::take(&mapped.fd, vm.arming.known(), fits, vm.chips.is_some())?;
        let kick = tap.kick().clone();
        Ok(Self {
            mapped,
            tap,
            kick,
            vm,
            index,
            boot,
            fits,
            resets: 0,
            must_reset: false,
        })
    }
}

impl Tapped for KvmVcpu {
    fn tapped(&mut self) -> (&mut Tap, &VcpuFd) {
        (&mut self.tap, &self.mapped.fd)
    }

    fn fits(&self) -> Option<FitsArea> {
        self.fits
    }

    fn changed(&mut self) {
        self.vm.note_rest(self.index, || false);
    }

    fn wake(&mut self) -> Result<(), Refusal> {
        self.vm.world.wake(self.index);
        match self.vm.chips {
            // With interrupts it is KVM that knows of a halt.
            Some(_) => unhalt(&self.mapped.fd),
            None => Ok(()),
        }
    }
}

impl Vcpu for KvmVcpu {
    fn index(&self) -> u32 {
        self.index
    }

    fn kicker(&self) -> Arc<dyn Kicker> {
        self.kick.clone()
    }

    fn acknowledge_kick(&mut self) {
        self.kick.acknowledge();
    }

    fn enter(&mut self, verdict: Verdict) -> Result<Exit, MachineError> {
        self.go(verdict)
    }

    fn take_unjudged(&mut self) -> Option<Unjudged> {
        self.tap.take_unjudged()
    }
}
