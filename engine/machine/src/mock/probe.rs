//! What a mock guest did that no register shows: for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use oriel_protocol::{Decision, Gpa, x86::Exception};

/// An exception that the guest's handler got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub exception: Exception,
    /// Where: the address of the instruction.
    pub ip: u64,
}

/// What came of one playing of a step that says what should ([`Expect`](super::Expect)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The vCPU that played it.
    pub vcpu: u32,
    /// Which step, counted from 0 in the order of the scenario.
    pub step: usize,
    /// What the judges decided; none: nobody was asked, and it simply happened.
    pub verdict: Option<Decision>,
    /// What stands afterwards where the step writes to, or what it reported; none: it has no such
    /// place.
    pub value: Option<u64>,
}

/// What one vCPU has shown. Its own, so that no vCPU waits for another to write here.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) faults: Vec<Fault>,
    pub(super) ports: BTreeMap<u16, u64>,
    pub(super) devices: BTreeMap<Gpa, u64>,
    pub(super) outcomes: Vec<Outcome>,
}

/// Looks at what the vCPUs of a mock machine have done, from any thread.
#[derive(Clone, Debug)]
pub struct Probe(pub(super) Arc<[Arc<Mutex<Seen>>]>);

impl Probe {
    /// The exceptions that a vCPU took, in order.
    pub fn faults(&self, vcpu: u32) -> Vec<Fault> {
        self.look(vcpu, |seen| seen.faults.clone())
    }

    /// What a vCPU last wrote to a port.
    pub fn port(&self, vcpu: u32, port: u16) -> Option<u64> {
        self.look(vcpu, |seen| seen.ports.get(&port).copied())
    }

    /// What a vCPU last stored at an address that is not RAM.
    pub fn device(&self, vcpu: u32, gpa: Gpa) -> Option<u64> {
        self.look(vcpu, |seen| seen.devices.get(&gpa).copied())
    }

    /// What came of the steps of all vCPUs that say what should, each vCPU's in order. Nothing of
    /// a scenario that loops.
    pub fn outcomes(&self) -> Vec<Outcome> {
        let one = |vcpu| self.look(vcpu, |seen| seen.outcomes.clone());
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        (0..count).flat_map(one).collect()
    }

    fn look<T: Default>(&self, vcpu: u32, part: impl FnOnce(&Seen) -> T) -> T {
        let seen = usize::try_from(vcpu).ok().and_then(|at| self.0.get(at));
        seen.map(|seen| part(&seen.lock().unwrap_or_else(PoisonError::into_inner)))
            .unwrap_or_default()
    }
}
