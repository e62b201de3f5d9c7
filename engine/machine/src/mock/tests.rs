//! Tests of the mock machine as a whole, through the traits.

mod barriers;
mod breakpoints;
mod builtins;
mod cases;
mod hardware;
mod holds;
mod injection;
mod kicks;
mod outcomes;
mod paging;
mod scripts;
mod state;
mod texts;
mod verdicts;
mod wants;

use std::{collections::BTreeMap, sync::Arc};

use oriel_protocol::{Access, Event, EventKind, EventSet, Verdict, events::EventClass};

use super::{Probe, Scenario};
use crate::{
    Ranges, Wants,
    machine::{End, Exit, Machine, Vcpu},
    outlet::Kept,
};

/// A machine with one vCPU that is driven by hand.
struct Run {
    machine: Arc<dyn Machine>,
    vcpu: Box<dyn Vcpu>,
    probe: Probe,
    kept: Arc<Kept>,
}

impl Run {
    fn of(scenario: &Scenario, wants: &Wants) -> Self {
        let kept = Arc::new(Kept::default());
        let (mut parts, probe) = scenario.build_probed(kept.clone()).unwrap();
        parts.machine.arm(wants).unwrap();
        Self {
            machine: parts.machine,
            vcpu: parts.vcpus.remove(0),
            probe,
            kept,
        }
    }

    fn text(text: &str, wants: &Wants) -> Self {
        Self::of(&Scenario::parse(text, "test.toml").unwrap(), wants)
    }

    fn enter(&mut self, verdict: Verdict) -> Exit {
        self.vcpu.enter(verdict).unwrap()
    }

    fn event(&mut self, verdict: Verdict) -> Event {
        let exit = self.enter(verdict);
        let Exit::Event(event) = exit else {
            panic!("no event but {exit:?}");
        };
        event
    }

    fn end(&mut self, verdict: Verdict) -> End {
        let exit = self.enter(verdict);
        let Exit::Ended(end) = exit else {
            panic!("no end but {exit:?}");
        };
        end
    }

    /// The kinds of all events until the end, each answered with `continue`.
    fn kinds(&mut self) -> Vec<EventKind> {
        let mut kinds = Vec::new();
        while let Exit::Event(event) = self.enter(Verdict::Continue) {
            kinds.push(event.kind());
        }
        kinds
    }

    fn rip(&mut self) -> u64 {
        self.vcpu.general().unwrap().rip
    }

    fn rax(&mut self) -> u64 {
        self.vcpu.general().unwrap().rax
    }

    fn word(&self, gpa: u64) -> u64 {
        self.machine.memory().read_u64(gpa).unwrap()
    }

    /// Vector and address of each exception.
    fn faults(&self) -> Vec<(u8, u64)> {
        let faults = self.probe.faults(0);
        faults
            .iter()
            .map(|fault| (fault.exception.vector, fault.ip))
            .collect()
    }
}

/// Wants these kinds, wherever they happen, and nothing that must be placed.
fn wanting(kinds: &[EventKind]) -> Wants {
    Wants {
        events: kinds.iter().copied().collect(),
        crs: Ranges::all(),
        msr_writes: Ranges::all(),
        msr_reads: Ranges::all(),
        pio_reads: Ranges::all(),
        pio_writes: Ranges::all(),
        mmio_reads: Ranges::all(),
        mmio_writes: Ranges::all(),
        ..Wants::default()
    }
}

/// Wants all there is: a managed breakpoint at 0x3000, nothing let through in the page of 0x4000,
/// and vCPU 0 stepped.
fn everything() -> Wants {
    Wants {
        events: EventSet::all(),
        breakpoints: [0x3000].into(),
        pages: BTreeMap::from([(4, Access::NONE)]),
        singlestep: vec![0],
        ..wanting(&[])
    }
}

/// Every kind that a machine can raise.
fn raised() -> impl Iterator<Item = EventKind> {
    let kinds = EventKind::ALL.iter().copied();
    kinds.filter(|kind| kind.class() != EventClass::Wire)
}
