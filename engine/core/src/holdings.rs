//! What one judge has armed: its filters, and what it asked for while the guest runs.
//!
//! Owned by the [ledger](crate::ledger); a judge only ever changes its own.

mod placed;
mod places;
mod shards;
mod switches;
mod wanted;

use std::{collections::BTreeSet, sync::Arc};

use oriel_protocol::{
    Access, Bounds, Event, EventData, EventKind, EventSet, Filter, Gpa, Grant, Observation, Ranges,
    Refusal,
    commands::vm::PageRule,
    events::{Msr, MsrRead, Page},
    page,
};
pub use placed::Placed;
use places::Places;
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
    places: Places,
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
        self.places.set_page(rule)
    }

    /// What goes through at a page.
    pub fn page(&self, gpa: Gpa) -> Access {
        let rule = self.places.rule(page::frame(gpa));
        rule.map_or(Access::ALL, |rule| rule.allowed)
    }

    /// Places a breakpoint, or has a debug register watch; whether there was none of this tag.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] if the tag names another one, [`Refusal::Limit`] over [`ARMED_MAX`].
    pub fn set_breakpoint(&mut self, tag: u64, placed: Placed) -> Result<bool, Refusal> {
        self.places.set_breakpoint(tag, placed)
    }

    /// Removes a breakpoint, if there is one of this tag.
    pub fn clear_breakpoint(&mut self, tag: u64) -> Option<Placed> {
        self.places.clear_breakpoint(tag)
    }

    /// The tags of its breakpoints, in order.
    pub fn breakpoints(&self) -> Vec<u64> {
        self.places.tags()
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
            EventData::Breakpoint(hit) if hit.managed => self.places.tag_of(hit).map(Some),
            EventData::Page(Page { gpa, access, .. }) => {
                let rule = self.places.rule(page::frame(*gpa))?;
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
}

/// Room for one more.
const fn bounded(length: usize) -> Result<(), Refusal> {
    if length < ARMED_MAX {
        Ok(())
    } else {
        Err(Refusal::Limit)
    }
}

#[cfg(test)]
mod tests;
