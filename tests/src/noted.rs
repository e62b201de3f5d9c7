//! A machine that notes what it is told to report.

use std::sync::{Arc, Mutex, MutexGuard};

use oriel_machine::{ArmError, GuestMemory, Hold, Machine, Parts, Wants};
use oriel_protocol::{Capabilities, Identity, Refusal};

/// What a machine was last told to report.
#[derive(Clone, Default)]
pub struct Noted(Arc<Mutex<Wants>>);

impl Noted {
    /// Notes it from now on.
    pub fn of(&self, parts: Parts) -> Parts {
        let machine = Arc::new(Noting {
            machine: parts.machine,
            noted: self.clone(),
        });
        Parts { machine, ..parts }
    }

    /// What the machine reports now.
    pub fn wants(&self) -> Wants {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Wants> {
        self.0.lock().expect("no panics")
    }
}

/// The machine itself, with somebody who listens.
struct Noting {
    machine: Arc<dyn Machine>,
    noted: Noted,
}

impl Machine for Noting {
    fn identity(&self) -> &Identity {
        self.machine.identity()
    }

    fn capabilities(&self) -> &Capabilities {
        self.machine.capabilities()
    }

    fn memory(&self) -> &dyn GuestMemory {
        self.machine.memory()
    }

    fn arm(&self, wants: &Wants) -> Result<(), ArmError> {
        let mut noted = self.noted.lock();
        self.machine.arm(wants)?;
        *noted = wants.clone();
        Ok(())
    }

    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal> {
        self.machine.hold_others(vcpu)
    }
}
