//! What a judge's holdings ask the machine to report.

use oriel_machine::Wants;
use oriel_protocol::{Access, EventKind, Filter, Gpa, Only, Ranges};

use super::Holdings;

impl Holdings {
    /// Adds what this judge wants to what all want, but for [INT3s](Self::int3s) and
    /// [pages](Self::frames), which there may be thousands of.
    pub fn add_rest_to(&self, wants: &mut Wants) {
        for filter in self.all_filters() {
            wants.events.insert(filter.kind);
            add_filter(filter, self.msrs(), wants);
        }
        for observation in &self.observations {
            wants.events.insert(observation.kind);
            add_filter(&Filter::any(observation.kind), self.msrs(), wants);
        }
        if let Some(switches) = &self.switches {
            switches.add_to(&mut wants.events);
        }
        self.places.add_points_to(wants);
        wants.singlestep.extend(&self.singlestep);
    }

    /// Where its INT3s are, once for each of its tags there.
    pub fn int3s(&self) -> impl Iterator<Item = Gpa> {
        self.places.int3s()
    }

    /// The page frames that it traps something of.
    pub fn frames(&self) -> impl Iterator<Item = u64> {
        self.places.frames()
    }

    /// What goes through at a frame; none if it traps nothing there.
    pub fn allowed(&self, frame: u64) -> Option<Access> {
        self.places.rule(frame).map(|rule| rule.allowed)
    }
}

/// Adds what a filter asks the machine to report. Breakpoints, pages and steps are armed one by
/// one; their filters only choose among them. Of MSRs only those that are granted are reported.
fn add_filter(filter: &Filter, granted: Option<&Ranges<u64>>, wants: &mut Wants) {
    let range = match filter.only {
        Only::Numbers { first, last } | Only::Io { first, last, .. } => first..=last,
        Only::Cr { cr, .. } => cr.into()..=cr.into(),
        Only::Any | Only::Page { .. } | Only::Breakpoint { .. } | Only::Table { .. } => {
            0..=u64::MAX
        }
    };
    let (reads, writes) = match filter.only {
        Only::Io { reads, writes, .. } => (reads, writes),
        Only::Any | Only::Cr { .. } | Only::Numbers { .. } | Only::Page { .. } => (true, true),
        Only::Breakpoint { .. } | Only::Table { .. } => (true, true),
    };
    let put = |set: &mut Ranges<u64>, wanted: bool| {
        if wanted {
            set.insert(range.clone());
        }
    };
    let put_msrs = |set: &mut Ranges<u64>| match granted {
        None => set.insert(range.clone()),
        Some(granted) => set.extend(&Ranges::from_iter([range.clone()]).intersection(granted)),
    };
    match filter.kind {
        EventKind::Cr => put(&mut wants.crs, true),
        EventKind::Msr => put_msrs(&mut wants.msr_writes),
        EventKind::MsrRead => put_msrs(&mut wants.msr_reads),
        EventKind::Pio => {
            put(&mut wants.pio_reads, reads);
            put(&mut wants.pio_writes, writes);
        }
        EventKind::Mmio => {
            put(&mut wants.mmio_reads, reads);
            put(&mut wants.mmio_writes, writes);
        }
        EventKind::Xsetbv | EventKind::Breakpoint | EventKind::Hypercall | EventKind::Page => {}
        EventKind::Trap | EventKind::Descriptor | EventKind::CreateVcpu | EventKind::Pause => {}
        EventKind::Singlestep | EventKind::CommandError | EventKind::Cpuid | EventKind::Unhook => {}
        EventKind::Reset | EventKind::Shutdown => {}
    }
}
