//! What one judge has armed: its filters, and what it asked for while the guest runs.
//!
//! Owned by the [ledger](crate::ledger); a judge only ever changes its own.

mod placed;
mod switches;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use oriel_machine::Wants;
use oriel_protocol::{
    Access, Bounds, Event, EventData, EventKind, EventSet, Filter, Gpa, Grant, Observation, Only,
    Ranges, Refusal,
    commands::vm::PageRule,
    events::{Msr, MsrRead, Page},
    page,
};
pub use placed::Placed;
pub use switches::Switches;

/// The most filters, breakpoints or pages that one judge arms.
pub const ARMED_MAX: usize = 65_536;

/// What one judge has armed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Declared at the start, and limited to what is granted.
    filters: Vec<Filter>,
    /// Declared at the start: what is only observed.
    observations: Vec<Observation>,
    /// Added and removed by the judge, each for a vCPU, or for all of them.
    added: Vec<(Option<u32>, Filter)>,
    breakpoints: BTreeMap<u64, Placed>,
    pages: BTreeMap<u64, PageRule>,
    singlestep: BTreeSet<u32>,
    /// Of a KVMI tool; a policy has none, and hears all that it armed.
    switches: Option<Switches>,
    /// Which MSRs it hears of, whatever it asks for; none: all.
    bounds: Option<Arc<Bounds>>,
}

impl Holdings {
    /// The holdings of a tool that has just hooked.
    pub fn switched(switches: Switches) -> Self {
        Self {
            switches: Some(switches),
            ..Self::default()
        }
    }

    /// What a tool has switched on.
    pub fn switches(&mut self) -> Option<&mut Switches> {
        self.switches.as_mut()
    }

    /// Whether a tool has switched this kind on for a vCPU.
    pub fn is_on(&self, vcpu: u32, kind: EventKind) -> bool {
        self.switches
            .as_ref()
            .is_some_and(|switches| switches.is_on(vcpu, kind))
    }

    /// What a tool holds that has armed nothing.
    pub fn blank(&self) -> Self {
        Self {
            bounds: self.bounds.clone(),
            switches: self.switches.as_ref().map(Switches::off),
            ..Self::default()
        }
    }

    /// What stays armed when a tool goes without wanting it undone: control registers and MSRs,
    /// for its next session to find.
    pub fn kept(&self) -> Self {
        Self {
            added: self.added.clone(),
            ..self.blank()
        }
    }

    /// The holdings of a judge that declares these filters.
    pub fn declared(filters: Vec<Filter>, observations: Vec<Observation>) -> Self {
        Self {
            filters,
            observations,
            ..Self::default()
        }
    }

    /// Adds what another declares.
    pub fn declare(&mut self, declared: &Self) {
        self.filters.extend_from_slice(&declared.filters);
        self.observations.extend_from_slice(&declared.observations);
        self.bounds.clone_from(&declared.bounds);
    }

    /// The same for a judge of this grant: kinds that it lacks are left out, and of MSRs it hears
    /// of those within its bounds only.
    #[must_use]
    pub fn granted(mut self, grant: &Grant) -> Self {
        self.filters
            .retain(|filter| grant.events.contains(filter.kind));
        self.observations
            .retain(|seen| grant.events.contains(seen.kind));
        self.bounds.clone_from(&grant.bounds);
        self
    }

    /// The MSRs that it may hear of; none: all.
    fn msrs(&self) -> Option<&Ranges<u64>> {
        self.bounds.as_ref()?.msrs.as_ref()
    }

    fn hears_of(&self, msr: u32) -> Option<Option<u64>> {
        let heard = self.msrs().is_none_or(|msrs| msrs.contains(msr.into()));
        heard.then_some(None)
    }

    /// The kinds that it judges.
    pub fn judges(&self) -> EventSet {
        self.all_filters().map(|filter| filter.kind).collect()
    }

    /// The filters of one kind on one vCPU.
    pub fn filters(&self, kind: EventKind, vcpu: u32) -> Box<[Filter]> {
        match &self.switches {
            Some(switches) if !switches.hears(vcpu, kind) => return Box::default(),
            Some(_) if !Switches::needs_arming(kind) => return Box::new([Filter::any(kind)]),
            Some(_) | None => {}
        }
        let added = self
            .added
            .iter()
            .filter(|(on, _)| on.is_none_or(|on| on == vcpu))
            .map(|(_, filter)| filter);
        self.filters
            .iter()
            .chain(added)
            .filter(|filter| filter.kind == kind)
            .copied()
            .collect()
    }

    /// What it observes.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    fn all_filters(&self) -> impl Iterator<Item = &Filter> {
        self.filters
            .iter()
            .chain(self.added.iter().map(|(_, filter)| filter))
    }

    /// Adds or removes one filter on one vCPU, or on all of them.
    ///
    /// # Errors
    /// [`Refusal::Limit`] over [`ARMED_MAX`].
    pub fn switch(&mut self, vcpu: Option<u32>, filter: Filter, on: bool) -> Result<(), Refusal> {
        self.added.retain(|known| *known != (vcpu, filter));
        if !on {
            return Ok(());
        }
        bounded(self.added.len())?;
        self.added.push((vcpu, filter));
        Ok(())
    }

    /// Says what goes through at a page; all three kinds of access end the trap.
    ///
    /// # Errors
    /// [`Refusal::Limit`] over [`ARMED_MAX`].
    pub fn set_page(&mut self, rule: PageRule) -> Result<(), Refusal> {
        let frame = page::frame(rule.gpa);
        if rule.allowed == Access::ALL {
            self.pages.remove(&frame);
            return Ok(());
        }
        bounded(self.pages.len())?;
        self.pages.insert(frame, rule);
        Ok(())
    }

    /// What goes through at a page.
    pub fn page(&self, gpa: Gpa) -> Access {
        self.pages
            .get(&page::frame(gpa))
            .map_or(Access::ALL, |rule| rule.allowed)
    }

    /// Places a breakpoint, or has a debug register watch.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] if the tag names another one, [`Refusal::Limit`] over [`ARMED_MAX`].
    pub fn set_breakpoint(&mut self, tag: u64, placed: Placed) -> Result<(), Refusal> {
        bounded(self.breakpoints.len())?;
        if *self.breakpoints.entry(tag).or_insert(placed) == placed {
            Ok(())
        } else {
            Err(Refusal::Conflict)
        }
    }

    /// Removes a breakpoint, if there is one of this tag.
    pub fn clear_breakpoint(&mut self, tag: u64) -> Option<Placed> {
        self.breakpoints.remove(&tag)
    }

    /// The tags of its breakpoints, in order.
    pub fn breakpoints(&self) -> Vec<u64> {
        self.breakpoints.keys().copied().collect()
    }

    /// Steps a vCPU, or no longer.
    pub fn step(&mut self, vcpu: u32, on: bool) {
        if on {
            self.singlestep.insert(vcpu)
        } else {
            self.singlestep.remove(&vcpu)
        };
    }

    /// Whether it steps this vCPU.
    pub fn steps(&self, vcpu: u32) -> bool {
        self.singlestep.contains(&vcpu)
    }

    /// Whether the event is this judge's business, and its own name for what was hit. A managed
    /// breakpoint or a trapped page is the business of those who armed it only.
    pub fn meets(&self, event: &Event) -> Option<Option<u64>> {
        match &event.data {
            EventData::Breakpoint(hit) if hit.managed => self
                .breakpoints
                .iter()
                .find(|(_, placed)| placed.is_met_by(hit))
                .map(|(tag, _)| Some(*tag)),
            EventData::Page(Page { gpa, access, .. }) => {
                let rule = self.pages.get(&page::frame(*gpa))?;
                (!rule.allowed.contains(*access)).then_some(Some(rule.tag))
            }
            EventData::Msr(Msr { msr, .. }) | EventData::MsrRead(MsrRead { msr, .. }) => {
                self.hears_of(*msr)
            }
            EventData::Breakpoint(_)
            | EventData::Cr(_)
            | EventData::Xsetbv(_)
            | EventData::Hypercall(_)
            | EventData::Trap(_)
            | EventData::Descriptor(_)
            | EventData::CreateVcpu(_)
            | EventData::Pause(_)
            | EventData::Singlestep(_)
            | EventData::CommandError(_)
            | EventData::Cpuid(_)
            | EventData::Unhook(_)
            | EventData::Pio(_)
            | EventData::Mmio(_)
            | EventData::Reset(_)
            | EventData::Shutdown(_) => Some(None),
        }
    }

    /// Adds what this judge wants to what all want.
    pub fn add_to(&self, wants: &mut Wants) {
        for filter in self.all_filters() {
            wants.events.insert(filter.kind);
            add_filter(filter, self.msrs(), wants);
        }
        for observation in &self.observations {
            wants.events.insert(observation.kind);
            add_filter(&Filter::any(observation.kind), self.msrs(), wants);
        }
        for rule in self.pages.values() {
            let allowed = wants
                .pages
                .entry(page::frame(rule.gpa))
                .or_insert(Access::ALL);
            *allowed = allowed.intersection(rule.allowed);
        }
        if let Some(switches) = &self.switches {
            switches.add_to(&mut wants.events);
        }
        self.breakpoints
            .values()
            .for_each(|placed| placed.add_to(wants));
        wants.singlestep.extend(&self.singlestep);
    }
}

/// Room for one more.
const fn bounded(length: usize) -> Result<(), Refusal> {
    if length < ARMED_MAX {
        Ok(())
    } else {
        Err(Refusal::Limit)
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

#[cfg(test)]
mod tests {
    use oriel_protocol::{HardwarePoint, events::Breakpoint};

    use super::*;

    const PAGE: Gpa = 0x5000;

    fn rule(allowed: Access, tag: u64) -> PageRule {
        PageRule {
            gpa: PAGE,
            allowed,
            tag,
        }
    }

    fn union(all: &[Holdings]) -> Wants {
        let mut wants = Wants::default();
        all.iter().for_each(|one| one.add_to(&mut wants));
        wants
    }

    #[test]
    fn setting_a_page_to_rwx_never_clears_anothers_trap() {
        let (mut guard, mut tool) = (Holdings::default(), Holdings::default());
        assert_eq!(guard.set_page(rule(Access::READ, 1)), Ok(()));
        assert_eq!(tool.set_page(rule(Access::READ | Access::WRITE, 2)), Ok(()));
        let both = union(&[guard.clone(), tool.clone()]);
        assert_eq!(both.pages[&page::frame(PAGE)], Access::READ);
        assert_eq!(tool.set_page(rule(Access::ALL, 2)), Ok(()));
        assert_eq!(
            union(&[guard, tool]).pages[&page::frame(PAGE)],
            Access::READ
        );
    }

    #[test]
    fn a_page_event_goes_to_those_whose_own_rule_it_breaks() {
        let (mut no_write, mut no_execute) = (Holdings::default(), Holdings::default());
        assert_eq!(
            no_write.set_page(rule(Access::READ | Access::EXECUTE, 7)),
            Ok(())
        );
        assert_eq!(
            no_execute.set_page(rule(Access::READ | Access::WRITE, 8)),
            Ok(())
        );
        let write = Page {
            gva: None,
            gpa: PAGE + 8,
            access: Access::WRITE,
            size: 8,
            value: None,
            view: 0,
        };
        let event = crate::test_event(write);
        assert_eq!(no_write.meets(&event), Some(Some(7)));
        assert_eq!(no_execute.meets(&event), None);
    }

    #[test]
    fn a_managed_breakpoint_is_its_owners_only() {
        let (mut owner, other) = (Holdings::default(), Holdings::default());
        assert_eq!(owner.set_breakpoint(3, Placed::Int3(0x1234)), Ok(()));
        let elsewhere = owner.set_breakpoint(3, Placed::Int3(0x9999));
        assert_eq!(elsewhere, Err(Refusal::Conflict));
        let hit = crate::test_event(Breakpoint {
            gva: 0,
            gpa: 0x1234,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        });
        assert_eq!(owner.meets(&hit), Some(Some(3)));
        assert_eq!(other.meets(&hit), None);
        let guests = crate::test_event(Breakpoint {
            gva: 0,
            gpa: 0x1234,
            length: 1,
            managed: false,
            access: Access::EXECUTE,
        });
        assert_eq!(other.meets(&guests), Some(None));
    }

    #[test]
    fn a_hardware_point_and_an_int3_at_one_address_are_met_together_each_under_its_own_tag() {
        let (mut soft, mut hard) = (Holdings::default(), Holdings::default());
        let point = HardwarePoint::execute(0x7000).unwrap();
        assert_eq!(soft.set_breakpoint(1, Placed::Int3(0x1234)), Ok(()));
        assert_eq!(hard.set_breakpoint(2, Placed::Hardware(point)), Ok(()));
        let hit = |gva| {
            crate::test_event(Breakpoint {
                gva,
                gpa: 0x1234,
                length: 1,
                managed: true,
                access: Access::EXECUTE,
            })
        };
        assert_eq!(soft.meets(&hit(0x7000)), Some(Some(1)));
        assert_eq!(hard.meets(&hit(0x7000)), Some(Some(2)));
        assert_eq!(soft.meets(&hit(0x8000)), Some(Some(1)), "mapped twice");
        assert_eq!(hard.meets(&hit(0x8000)), None);
        let both = union(&[soft, hard]);
        assert_eq!(
            (both.breakpoints, both.hardware),
            (vec![0x1234], vec![point])
        );
    }

    #[test]
    fn a_watched_access_goes_to_those_who_watch_for_it() {
        let watching = |access| {
            let mut holdings = Holdings::default();
            let point = HardwarePoint::new(0x7000, 4, access).unwrap();
            assert_eq!(holdings.set_breakpoint(5, Placed::Hardware(point)), Ok(()));
            holdings
        };
        let (writes, both) = (watching(Access::WRITE), watching(HardwarePoint::READ_WRITE));
        let hit = |gva, length, access| {
            crate::test_event(Breakpoint {
                gva,
                gpa: 0x1000,
                length,
                managed: true,
                access,
            })
        };
        let write = hit(0x7000, 4, Access::WRITE);
        let either = hit(0x7000, 4, HardwarePoint::READ_WRITE);
        assert_eq!(writes.meets(&write), Some(Some(5)));
        assert_eq!(both.meets(&write), Some(Some(5)));
        assert_eq!(writes.meets(&either), None, "it may have been a read");
        assert_eq!(both.meets(&either), Some(Some(5)));
        assert_eq!(both.meets(&hit(0x7000, 2, Access::WRITE)), None);
        assert_eq!(both.meets(&hit(0x7004, 4, Access::WRITE)), None);
        assert_eq!(both.meets(&hit(0x7000, 4, Access::EXECUTE)), None);
    }

    #[test]
    fn only_the_msrs_of_the_filters_are_wanted() {
        let lstar = Filter {
            only: Only::Numbers {
                first: 0x82,
                last: 0x83,
            },
            ..Filter::any(EventKind::Msr)
        };
        let wants = union(&[Holdings::declared(vec![lstar], vec![])]);
        assert!(wants.msr_writes.contains(0x83) && !wants.msr_writes.contains(0x84));
        assert!(wants.msr_reads.is_empty());
        assert!(wants.kind(EventKind::Msr) && !wants.kind(EventKind::MsrRead));
    }

    #[test]
    fn a_judge_hears_and_arms_granted_msrs_only_however_it_asks() {
        let grant = Grant {
            bounds: Some(Arc::new(Bounds {
                msrs: Some(Ranges::from_iter([0x82..=0x82])),
                ..Bounds::default()
            })),
            ..Grant::all()
        };
        let observation = Observation {
            kind: EventKind::MsrRead,
            one_in: 1,
            per_second: 0,
            scope: oriel_protocol::Scope::default(),
        };
        let all = vec![Filter::any(EventKind::Msr)];
        let mut holdings = Holdings::declared(all, vec![observation]).granted(&grant);
        let added = Filter::any(EventKind::Msr);
        assert_eq!(holdings.switch(None, added, true), Ok(()));
        let only = Ranges::from_iter([0x82..=0x82]);
        let kept = holdings.kept();
        let wants = union(&[holdings.clone()]);
        assert_eq!((&wants.msr_writes, &wants.msr_reads), (&only, &only));
        assert_eq!(
            union(&[kept]).msr_writes,
            only,
            "and what outlasts a session"
        );
        let event = |msr| {
            let (old, new) = (0, 1);
            crate::test_event(Msr { msr, old, new })
        };
        assert_eq!(holdings.meets(&event(0x82)), Some(None));
        assert_eq!(holdings.meets(&event(0x83)), None);
        let read = crate::test_event(MsrRead {
            msr: 0x83,
            value: 0,
        });
        assert_eq!(holdings.meets(&read), None);
    }

    #[test]
    fn what_is_switched_on_can_be_switched_off() {
        let filter = Filter {
            only: Only::Numbers { first: 1, last: 1 },
            ..Filter::any(EventKind::Msr)
        };
        let mut holdings = Holdings::default();
        assert_eq!(holdings.switch(Some(0), filter, true), Ok(()));
        assert_eq!(holdings.switch(Some(0), filter, true), Ok(()));
        assert_eq!(
            holdings.filters(EventKind::Msr, 1).len(),
            0,
            "another vCPU's"
        );
        assert_eq!(holdings.filters(EventKind::Msr, 0).len(), 1);
        assert_eq!(holdings.switch(Some(0), filter, false), Ok(()));
        assert!(holdings.judges().is_empty());
    }
}
