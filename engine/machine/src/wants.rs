//! What is to be reported: the union of what all judges want, as the engine hands it to a machine.

use std::collections::{BTreeMap, BTreeSet};

use oriel_protocol::{Access, EventKind, EventSet, Gpa, HardwarePoint, Ranges};

/// Everything that is to be reported, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The kinds somebody listens to.
    pub events: EventSet,
    /// Control registers whose changes are reported: 0, 3, 4.
    pub crs: Ranges<u64>,
    /// MSRs whose writes are reported.
    pub msr_writes: Ranges<u64>,
    /// MSRs whose reads are reported.
    pub msr_reads: Ranges<u64>,
    /// Ports whose input is reported.
    pub pio_reads: Ranges<u64>,
    /// Ports whose output is reported.
    pub pio_writes: Ranges<u64>,
    /// Guest-physical addresses outside RAM whose loads are reported.
    pub mmio_reads: Ranges<u64>,
    /// Guest-physical addresses outside RAM whose stores are reported.
    pub mmio_writes: Ranges<u64>,
    /// Managed breakpoints.
    pub breakpoints: BTreeSet<Gpa>,
    /// What the debug registers of every vCPU watch: at most [`HardwarePoint::MOST`] different
    /// ones.
    pub hardware: Vec<HardwarePoint>,
    /// For a page frame: what goes through without an event.
    pub pages: BTreeMap<u64, Access>,
    /// vCPUs that are stepped.
    pub singlestep: Vec<u32>,
}

impl Wants {
    /// Whether this kind is wanted at all.
    pub fn kind(&self, kind: EventKind) -> bool {
        self.events.contains(kind)
    }
}

/// What has changed of the wants, where that is single breakpoints and pages and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Where a breakpoint has come or gone.
    pub breakpoints: BTreeSet<Gpa>,
    /// Page frames of which something else goes through now.
    pub frames: BTreeSet<u64>,
}
