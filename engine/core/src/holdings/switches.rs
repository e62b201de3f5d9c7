//! The switches of a KVMI tool. A tool hears a kind of event only once it has switched it on;
//! control registers and MSRs it arms one by one besides.
//!
//! They say what is heard; what the machine lacks stays switched on and is never raised.

use std::collections::{BTreeMap, BTreeSet};

use oriel_protocol::{EventKind, EventSet};

/// What a tool has switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switches {
    /// What the machine can report.
    reported: EventSet,
    /// What is heard without a switch.
    always: EventSet,
    by_vcpu: BTreeMap<u32, EventSet>,
    /// On every vCPU.
    everywhere: EventSet,
    /// vCPUs whose next `trap` is the answer to an injection.
    awaited: BTreeSet<u32>,
}

impl Switches {
    /// All off, on a machine that reports these kinds; those of `always` need no switch.
    pub fn new(reported: EventSet, always: EventSet) -> Self {
        Self {
            reported,
            always,
            ..Self::default()
        }
    }

    /// As they were at first.
    #[must_use]
    pub fn off(&self) -> Self {
        Self::new(self.reported, self.always)
    }

    /// Whether the kind is armed one by one, besides being switched on.
    pub const fn needs_arming(kind: EventKind) -> bool {
        matches!(kind, EventKind::Cr | EventKind::Msr)
    }

    /// Switches a kind on one vCPU.
    pub fn set(&mut self, vcpu: u32, kind: EventKind, on: bool) {
        put(self.by_vcpu.entry(vcpu).or_default(), kind, on);
    }

    /// Switches a kind on all of them.
    pub fn set_everywhere(&mut self, kind: EventKind, on: bool) {
        put(&mut self.everywhere, kind, on);
    }

    /// Expects the `trap` that an injection brings about, or no longer.
    pub fn await_trap(&mut self, vcpu: u32, on: bool) {
        if on {
            self.awaited.insert(vcpu)
        } else {
            self.awaited.remove(&vcpu)
        };
    }

    /// Whether a kind is switched on for a vCPU.
    pub fn is_on(&self, vcpu: u32, kind: EventKind) -> bool {
        let here = self.by_vcpu.get(&vcpu).copied().unwrap_or_default();
        here.union(self.everywhere)
            .union(self.always)
            .contains(kind)
    }

    /// Whether a kind is heard on a vCPU.
    pub fn hears(&self, vcpu: u32, kind: EventKind) -> bool {
        self.is_on(vcpu, kind) || (kind == EventKind::Trap && self.awaited.contains(&vcpu))
    }

    /// Adds the kinds that the machine is to report.
    pub fn add_to(&self, wanted: &mut EventSet) {
        let on = self.by_vcpu.values().copied();
        let mut on = on.fold(self.everywhere.union(self.always), EventSet::union);
        if !self.awaited.is_empty() {
            on.insert(EventKind::Trap);
        }
        *wanted = wanted.union(on.intersection(self.reported));
    }
}

fn put(set: &mut EventSet, kind: EventKind, on: bool) {
    if on {
        set.insert(kind);
    } else {
        set.remove(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holdings::Holdings;
    use oriel_machine::Wants;
    use oriel_protocol::{Filter, Only};

    fn tool() -> Holdings {
        let reported = [EventKind::Msr, EventKind::Breakpoint, EventKind::Trap];
        Holdings::switched(Switches::new(
            reported.into_iter().collect(),
            EventSet::NONE,
        ))
    }

    fn lstar() -> Filter {
        let only = Only::Numbers { first: 2, last: 2 };
        Filter {
            only,
            ..Filter::any(EventKind::Msr)
        }
    }

    fn wants(holdings: &Holdings) -> Wants {
        let mut wants = Wants::default();
        holdings.add_rest_to(&mut wants);
        wants
    }

    #[test]
    fn an_msr_takes_both_its_switch_and_its_number() {
        let mut tool = tool();
        assert_eq!(tool.switch(Some(0), lstar(), true), Ok(()));
        assert!(tool.filters(EventKind::Msr, 0).is_empty(), "not switched");
        assert!(wants(&tool).msr_writes.contains(2), "armed all the same");
        tool.switches().unwrap().set(0, EventKind::Msr, true);
        assert_eq!(&*tool.filters(EventKind::Msr, 0), &[lstar()]);
        assert!(tool.filters(EventKind::Msr, 1).is_empty());
    }

    #[test]
    fn a_switch_alone_does_where_nothing_is_armed() {
        let mut tool = tool();
        let switches = tool.switches().unwrap();
        switches.set(1, EventKind::Breakpoint, true);
        assert_eq!(tool.filters(EventKind::Breakpoint, 1).len(), 1);
        assert!(tool.filters(EventKind::Breakpoint, 0).is_empty());
        assert!(wants(&tool).kind(EventKind::Breakpoint));
    }

    #[test]
    fn what_the_machine_lacks_is_switched_on_and_not_wanted() {
        let mut tool = tool();
        let switches = tool.switches().unwrap();
        switches.set(0, EventKind::Descriptor, true);
        assert!(tool.is_on(0, EventKind::Descriptor));
        assert!(!wants(&tool).kind(EventKind::Descriptor));
    }

    #[test]
    fn an_awaited_trap_is_heard_without_a_switch() {
        let mut tool = tool();
        tool.switches().unwrap().await_trap(0, true);
        assert_eq!(tool.filters(EventKind::Trap, 0).len(), 1);
        assert!(wants(&tool).kind(EventKind::Trap));
        tool.switches().unwrap().await_trap(0, false);
        assert!(tool.filters(EventKind::Trap, 0).is_empty());
    }
}
