//! The host that policies are tested against.
//!
//! Owns what a policy can see and all that it has done; each right is implemented in a file
//! below. Judges nothing and runs no guest.

mod armed;
mod faults;
mod guest;
mod linux;
mod memory;
mod own;
mod registers;
mod store;
mod told;

use std::collections::{BTreeMap, BTreeSet};

use super::{Command, MockLinux, MockMemory, MockVcpu};
use crate::{Access, BreakpointPlace, Capability, EventKind, Exception, Level, Refusal, Severity};

use faults::Faults;
pub(super) use faults::Overdue;
pub(super) use guest::Guest;
use guest::Seat;

/// A host that grants everything it was not told to refuse, and remembers all that was done.
///
/// ```
/// use oriel_sdk::testing::{Command, MockEngine};
/// use oriel_sdk::{Alert, Refusal, Severity, Store};
///
/// let mut host = MockEngine::new(2);
/// host.alert(Severity::High, "LSTAR changed", &[("value", &7)])?;
/// assert_eq!(host.alerts[0].fields["value"], "7");
///
/// host.refuse(Command::SetNumber, Refusal::Limit);
/// assert_eq!(host.set_number("seen", 1), Err(Refusal::Limit));
/// host.refuse_all(Refusal::Denied);
/// assert_eq!(host.get_number("seen"), Err(Refusal::Denied));
/// host.grant_all();
/// assert_eq!(host.get_number("seen"), Ok(None));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Clone, Debug)]
pub struct MockEngine {
    /// The vCPUs; a test may change them at any time.
    pub vcpus: Vec<MockVcpu>,
    /// The guest's memory.
    pub memory: MockMemory,
    /// The Linux that the guest is; none: it is another system.
    pub linux: Option<MockLinux>,
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
    /// The kinds that may be armed, where the policy's exports are known.
    pub(super) judged: Option<Vec<EventKind>>,
    faults: Faults,
    seat: Seat,
    refused: BTreeMap<Command, Refusal>,
    all_refused: Option<Refusal>,
}

/// An alert that a policy raised.
///
/// ```
/// use oriel_sdk::Severity;
/// use oriel_sdk::testing::RaisedAlert;
///
/// let grave = |alert: &RaisedAlert| alert.severity == Severity::Critical;
/// let alert = RaisedAlert {
///     severity: Severity::Low,
///     message: "odd".into(),
///     fields: [("vcpu".into(), "0".into())].into(),
/// };
/// assert!(!grave(&alert));
/// ```
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
///
/// ```
/// use oriel_sdk::testing::{Armed, MockEngine};
/// use oriel_sdk::{Access, Intercept, PageAccess, msr};
///
/// let mut host = MockEngine::default();
/// host.intercept_msr(0, msr::LSTAR, true)?;
/// host.set_page_access(0x5000, Access::READ, 7)?;
/// let armed: &Armed = &host.armed;
/// assert!(armed.msrs.contains(&(0, msr::LSTAR)));
/// assert_eq!(armed.pages[&5], (Access::READ, 7));
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
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
    /// Where the breakpoints were when they were set.
    pub(super) placed: BTreeMap<u64, Placed>,
}

/// Where a breakpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// In RAM.
    Code(u64),
    /// In a debug register: address, length, what is watched for.
    Point(u64, u8, Access),
}

impl MockEngine {
    /// One with so many vCPUs.
    pub fn new(vcpus: usize) -> Self {
        Self {
            vcpus: vec![MockVcpu::default(); vcpus],
            memory: MockMemory::default(),
            linux: None,
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
            judged: None,
            faults: Faults::default(),
            seat: Seat::default(),
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
        self.faults.spend();
        let all = self.all_refused.filter(|_| command != Command::Log);
        let refusal = self.refused.get(&command).copied().or(all);
        refusal.map_or(Ok(()), Err)
    }
}

impl Default for MockEngine {
    fn default() -> Self {
        Self::new(4)
    }
}
