//! What a VM's vCPUs report, in the form in which they ask for it. Arms nothing by itself.

use oriel_protocol::{EventKind, HardwarePoint};

use super::super::msr_filter::{MsrFilter, may_filter};
use crate::{ArmError, Wants, points};

/// What is reported now. Where breakpoints and page traps are, memory and the traps know.
#[derive(Clone, Debug, Default)]
pub(in crate::kvm) struct Armed {
    /// Without breakpoints and pages.
    pub(in crate::kvm) wants: Wants,
    pub(super) filter: MsrFilter,
    /// There is a managed breakpoint.
    managed: bool,
    /// The hardware points, each once.
    pub(in crate::kvm) hardware: Vec<HardwarePoint>,
}

impl Armed {
    pub(super) fn new(wants: &Wants, known: &[u32], before: &Self) -> Result<Self, ArmError> {
        Ok(Self {
            wants: without_places(wants),
            filter: MsrFilter::new(wants, |msr, write| may_filter(msr, write, known))?,
            managed: !wants.breakpoints.is_empty(),
            hardware: points::fit(&wants.hardware, &before.hardware)?,
        })
    }

    /// Whether these are the wants, but for where breakpoints and page traps are.
    pub(super) fn is_of(&self, wants: &Wants) -> bool {
        self.wants == without_places(wants)
    }

    /// Whether this vCPU is stepped.
    pub(in crate::kvm) fn steps(&self, vcpu: u32) -> bool {
        self.wants.kind(EventKind::Singlestep) && self.wants.singlestep.contains(&vcpu)
    }

    /// Whether INT3s come to us.
    pub(in crate::kvm) fn breaks(&self) -> bool {
        self.wants.kind(EventKind::Breakpoint) || self.managed
    }

    /// Whether vCPUs report nothing.
    pub(in crate::kvm) fn is_empty(&self) -> bool {
        self.wants == Wants::default() && !self.managed
    }

    /// Whether vCPUs may be stopped at any instruction, or are told what is delivered to them.
    pub(in crate::kvm) fn stops(&self) -> bool {
        let kinds = [EventKind::Singlestep, EventKind::Page, EventKind::Trap];
        self.breaks()
            || !self.hardware.is_empty()
            || kinds.iter().any(|kind| self.wants.kind(*kind))
    }

    /// Whether vCPUs are run in another way than with these wants.
    pub(super) fn runs_otherwise(&self, other: &Self) -> bool {
        let kind = EventKind::Singlestep;
        self.breaks() != other.breaks()
            || self.wants.kind(kind) != other.wants.kind(kind)
            || self.wants.singlestep != other.wants.singlestep
            || self.hardware != other.hardware
    }
}

/// A few words long, however many places there are.
fn without_places(wants: &Wants) -> Wants {
    Wants {
        events: wants.events,
        crs: wants.crs.clone(),
        msr_writes: wants.msr_writes.clone(),
        msr_reads: wants.msr_reads.clone(),
        pio_reads: wants.pio_reads.clone(),
        pio_writes: wants.pio_writes.clone(),
        mmio_reads: wants.mmio_reads.clone(),
        mmio_writes: wants.mmio_writes.clone(),
        hardware: wants.hardware.clone(),
        singlestep: wants.singlestep.clone(),
        ..Wants::default()
    }
}
