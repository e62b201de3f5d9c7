//! One vCPU of the reference VMM.

use std::sync::Arc;

use kvm_bindings::{KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, kvm_mp_state};
use oriel_protocol::{Refusal, Verdict};

use super::{
    boot::Boot,
    kick::Kick,
    sys::{vm::MappedVcpu, xsave::FitsArea},
    tap::Tap,
    vm::KvmVm,
};
use crate::{Exit, Kicker, MachineError, Vcpu};

mod reset;
mod run;
mod serve;
mod state;

/// One vCPU, for the thread that enters it.
pub(super) struct KvmVcpu {
    // The file goes first, then what keeps the memory behind it.
    mapped: MappedVcpu,
    tap: Tap,
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

impl KvmVcpu {
    /// It has something to run again, if it halted.
    fn wake(&mut self) -> Result<(), Refusal> {
        self.vm.world.wake(self.index);
        if self.vm.chips.is_none() {
            return Ok(());
        }
        // With interrupts it is KVM that knows of a halt (KVM API, 4.38).
        let state = self.mapped.fd.get_mp_state();
        let state = state.map_err(|_| Refusal::Unavailable)?;
        if state.mp_state != KVM_MP_STATE_HALTED {
            return Ok(());
        }
        let mp_state = KVM_MP_STATE_RUNNABLE;
        let set = self.mapped.fd.set_mp_state(kvm_mp_state { mp_state });
        set.map_err(|_| Refusal::Unavailable)
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
}
