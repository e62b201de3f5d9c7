//! Resets: one vCPU puts the VM back, then each puts itself back, and none enters again before all
//! have.

use super::{KvmVcpu, run::Next};
use crate::{MachineError, kvm::world::Held};

impl KvmVcpu {
    /// Resets memory and devices while the others are held; waits if somebody else holds them.
    pub(super) fn reset_vm(&mut self) -> Result<Next, MachineError> {
        let Held::Yes(hold) = self.hold_others()? else {
            return self.wait();
        };
        let done = self.vm.reset();
        done.map_err(|source| self.error("resetting the VM", source))?;
        self.must_reset = false;
        drop(hold);
        Ok(Next::Run)
    }

    /// If the VM has been reset, puts this vCPU into the state in which it started.
    pub(super) fn begin_anew(&mut self) -> Result<bool, MachineError> {
        let resets = self.vm.world.resets();
        if self.resets == resets {
            return Ok(false);
        }
        self.resets = resets;
        self.must_reset = false;
        self.vm.world.wake(self.index);
        self.tap.abandon(&mut self.mapped.fd)?;
        let back = self.boot.put_back(&self.mapped.fd);
        back.and_then(|()| self.tap.read_state(&self.mapped.fd))
            .map_err(|source| self.error("resetting the vCPU", source))?;
        self.vm.world.begun(self.index, resets);
        Ok(true)
    }
}
