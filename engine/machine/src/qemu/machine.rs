//! The VM as a whole, for every thread.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use oriel_protocol::{Capabilities, Identity, Refusal};

use super::{
    attach::Leave,
    link::{Link, Order},
    memory::Memory,
};
use crate::{
    GuestMemory, Wants,
    machine::{ArmError, Hold, Machine},
};

/// A VM that somebody else's QEMU runs.
#[derive(Debug)]
pub struct QemuMachine {
    pub(super) identity: Identity,
    pub(super) capabilities: Capabilities,
    pub(super) memory: Arc<Memory>,
    pub(super) link: Arc<Link>,
    pub(super) resets: Arc<AtomicU64>,
    pub(super) actor: Option<JoinHandle<()>>,
}

impl QemuMachine {
    /// Leaves the VM: every breakpoint is taken away, the stub is let go, and the VM runs; or it
    /// stays where it stands. Once is enough: then it is over for its vCPUs.
    ///
    /// # Errors
    /// In words, if it is not known to run. Whoever attached with a guard has that try again when
    /// this process ends.
    pub fn leave(&self, how: Leave) -> Result<(), String> {
        // Where there is no actor there is nothing left to leave.
        self.link
            .look(move |world| world.leave(how))
            .unwrap_or(Ok(()))
    }
}

impl Machine for QemuMachine {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn memory(&self) -> &dyn GuestMemory {
        &*self.memory
    }

    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        let what = || ArmError::Host {
            what: "what the judges want".to_owned(),
            source: std::io::Error::other(Refusal::Gone),
        };
        let wants = wants.clone();
        let armed = self.link.ask(move |world| {
            if world.is_over() {
                // What has ended stops at nothing.
                return Ok(());
            }
            world.arm(&wants)
        });
        armed.map_err(|_| what())?
    }

    fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.link.ask(move |world| world.hold(vcpu))??;
        let link = Arc::clone(&self.link);
        Ok(Hold::new(move || {
            // Where there is no actor nothing is held.
            let _ = link.post(Order::Look(Box::new(|world| world.let_go())));
        }))
    }
}

impl Drop for QemuMachine {
    fn drop(&mut self) {
        if let Err(reason) = self.leave(Leave::Running) {
            tracing::error!(reason, "the VM was left, and it is not known to run");
        }
        drop(self.actor.take());
    }
}
