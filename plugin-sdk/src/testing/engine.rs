//! The host that policies are tested against.
//!
//! Owns what a policy can see and all that it has done; each right is implemented in a file
//! below. Judges nothing and runs no guest.

mod armed;
mod memory;
mod registers;
mod store;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, MockMemory, MockVcpu};
use crate::{
    Access, Arch, BreakpointPlace, Capability, Exception, Level, MachineInfo, Refusal, Severity,
};

/// A host that grants everything it was not told to refuse, and remembers all that was done.
#[derive(Clone, Debug)]
pub struct MockEngine {
    /// The vCPUs; a test may change them at any time.
    pub vcpus: Vec<MockVcpu>,
    /// The guest's memory.
    pub memory: MockMemory,
    /// What the machine can do.
    pub capabilities: Vec<Capability>,
    /// Nanoseconds since the VM started. Each event takes a millisecond.
    pub time_ns: u64,
    /// The store.
    pub store: BTreeMap<String, Vec<u8>>,
    /// The alerts that were raised.
    pub alerts: Vec<RaisedAlert>,
    /// The lines that were logged.
    pub log: Vec<(Level, String)>,
    /// The counters.
    pub counters: BTreeMap<String, u64>,
    /// The gauges.
    pub gauges: BTreeMap<String, i64>,
    /// The histograms, as the values put into them.
    pub records: BTreeMap<String, Vec<u64>>,
    /// What was armed.
    pub armed: Armed,
    /// The exceptions that were injected, and into which vCPU.
    pub injected: Vec<(u32, Exception)>,
    /// The vCPUs that are paused. None is when a call has ended.
    pub paused: BTreeSet<u32>,
    /// Everything that was asked for, refused or not, in order.
    pub asked: Vec<Command>,
    /// The vCPU whose event is being judged.
    pub(super) judging: u32,
    refused: BTreeMap<Command, Refusal>,
    all_refused: Option<Refusal>,
}

/// An alert that a policy raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaisedAlert {
    /// How bad it is.
    pub severity: Severity,
    /// What is said to a person.
    pub message: String,
    /// What is said to a machine.
    pub fields: BTreeMap<String, String>,
}

/// What a policy has armed while the guest runs.
#[derive(Clone, Debug, Default)]
pub struct Armed {
    /// Control registers, each with its vCPU.
    pub crs: BTreeSet<(u32, u8)>,
    /// Model-specific registers, each with its vCPU.
    pub msrs: BTreeSet<(u32, u32)>,
    /// The vCPUs that are stepped.
    pub steps: BTreeSet<u32>,
    /// Breakpoints by their tags, each with its vCPU.
    pub breakpoints: BTreeMap<u64, (u32, BreakpointPlace)>,
    /// Hardware breakpoints (`Access::EXECUTE`, one byte) and watchpoints by their tags: address,
    /// length in bytes, and what is watched for.
    pub points: BTreeMap<u64, (u64, u8, Access)>,
    /// By the number of the page: what is let through, and the tag.
    pub pages: BTreeMap<u64, (Access, u64)>,
}

impl MockEngine {
    /// One with so many vCPUs.
    pub fn new(vcpus: usize) -> Self {
        Self {
            vcpus: vec![MockVcpu::default(); vcpus],
            memory: MockMemory::default(),
            capabilities: Vec::new(),
            time_ns: 0,
            store: BTreeMap::new(),
            alerts: Vec::new(),
            log: Vec::new(),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
            records: BTreeMap::new(),
            armed: Armed::default(),
            injected: Vec::new(),
            paused: BTreeSet::new(),
            asked: Vec::new(),
            judging: 0,
            refused: BTreeMap::new(),
            all_refused: None,
        }
    }

    /// From now on this command is refused. Words are 0 then; what has no answer is dropped.
    pub fn refuse(&mut self, command: Command, refusal: Refusal) {
        self.refused.insert(command, refusal);
    }

    /// From now on every command is refused, save the log: as for a probe.
    pub fn refuse_all(&mut self, refusal: Refusal) {
        self.all_refused = Some(refusal);
    }

    /// From now on nothing is refused.
    pub fn grant_all(&mut self) {
        self.refused.clear();
        self.all_refused = None;
    }

    /// Notes that something was asked for, and says whether it may be.
    fn admit(&mut self, command: Command) -> Result<(), Refusal> {
        self.asked.push(command);
        let all = self.all_refused.filter(|_| command != Command::Log);
        let refusal = self.refused.get(&command).copied().or(all);
        refusal.map_or(Ok(()), Err)
    }

    /// A vCPU that a command names.
    fn vcpu(&mut self, vcpu: u32) -> Result<&mut MockVcpu, Refusal> {
        let vcpu = self.vcpus.get_mut(vcpu as usize);
        vcpu.ok_or(Refusal::NotFound)
    }

    fn info(&self) -> MachineInfo {
        MachineInfo {
            uuid: "00000000-0000-4000-8000-000000000000".into(),
            name: "bench".into(),
            arch: Arch::X8664,
            vcpus: self.vcpus.len().try_into().unwrap_or(u32::MAX),
            memory_end: self.memory.end,
        }
    }
}

impl Default for MockEngine {
    fn default() -> Self {
        Self::new(4)
    }
}
