//! Judges of the VMM's own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use oriel_engine::{Candidate, Desk, Judge, Native, Ruling};
use oriel_protocol::{
    Access, Case, Event, EventKind, EventSet, Filter, Grant, Verdict,
    commands::{
        vcpu::{ControlSinglestep, Place, SetBreakpoint},
        vm::{PageRule, SetPageAccess},
    },
};

use crate::{
    guest::{COUNT, PAGE},
    vmm::VCPUS,
};

/// A judge of these kinds, made of a function that gets the vCPU's number and the kind.
pub(crate) fn judge(
    kinds: &[EventKind],
    answer: impl Fn(u32, EventKind) -> Verdict + Clone + Send + Sync + 'static,
) -> Candidate {
    candidate(kinds, move || {
        let answer = answer.clone();
        Box::new(Native(move |case: &Case<'_>, _: &mut Desk| {
            answer(case.moment.vcpu, case.event.kind())
        }))
    })
}

/// A judge of these kinds, made of a function that gets the event.
pub(crate) fn natively(
    kinds: &[EventKind],
    answer: impl Fn(&Event) -> Verdict + Clone + Send + Sync + 'static,
) -> Candidate {
    candidate(kinds, move || {
        let answer = answer.clone();
        Box::new(Native(move |case: &Case<'_>, _: &mut Desk| {
            answer(case.event)
        }))
    })
}

fn candidate(
    kinds: &[EventKind],
    make: impl Fn() -> Box<dyn Judge> + Send + Sync + 'static,
) -> Candidate {
    Candidate {
        name: Arc::from("native"),
        grant: Grant::all(),
        judges: EventSet::all(),
        filters: kinds.iter().map(|&kind| Filter::any(kind)).collect(),
        observations: vec![],
        store: Arc::default(),
        tick: None,
        tool: None,
        hosted: None,
        make: Box::new(move |_, _| make()),
    }
}

/// What is armed by command, before a vCPU runs.
#[derive(Clone, Copy)]
pub(crate) enum Arm {
    /// An INT3 at [`COUNT`].
    Breakpoint,
    /// Writes to [`PAGE`].
    Page,
    /// Steps of the vCPU.
    Steps,
}

impl Arm {
    /// The kinds of event that come of these, and writes of MSRs.
    fn kinds(all: &[Self]) -> Vec<EventKind> {
        let kind = |one: &Self| match one {
            Self::Breakpoint => EventKind::Breakpoint,
            Self::Page => EventKind::Page,
            Self::Steps => EventKind::Singlestep,
        };
        all.iter().map(kind).chain([EventKind::Msr]).collect()
    }

    fn ask(self, desk: &mut Desk) {
        let (vcpu, tag) = (desk.index(), 1);
        let armed = match self {
            Self::Breakpoint => {
                let place = Place::Gpa(COUNT);
                desk.on(vcpu, SetBreakpoint { tag, place })
            }
            Self::Page => {
                let allowed = Access::READ | Access::EXECUTE;
                let gpa = PAGE;
                let entries = vec![PageRule { gpa, allowed, tag }];
                desk.vm(SetPageAccess { view: 0, entries })
            }
            Self::Steps => desk.on(vcpu, ControlSinglestep { enable: true }),
        };
        assert_eq!(armed, Ok(()));
    }
}

/// Arms these before its vCPU runs; then it is made of a function.
struct Armer<F>(Vec<Arm>, F);

impl<F: Fn(u32, EventKind) -> Verdict + Send> Judge for Armer<F> {
    fn ready(&mut self, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.0.iter().for_each(|one| one.ask(&mut desk));
        (Ruling::CONTINUE, desk)
    }

    fn judge(&mut self, case: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        let verdict = (self.1)(case.moment.vcpu, case.event.kind());
        (verdict.into(), desk)
    }
}

/// A judge that arms these by command.
pub(crate) fn arming(
    arms: &[Arm],
    answer: impl Fn(u32, EventKind) -> Verdict + Clone + Send + Sync + 'static,
) -> Candidate {
    let all = arms.to_vec();
    candidate(&Arm::kinds(arms), move || {
        Box::new(Armer(all.clone(), answer.clone()))
    })
}

/// How often each vCPU was judged.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<[AtomicU64; VCPUS]>);

impl Counts {
    /// A judge that counts writes of MSRs.
    pub(crate) fn judge(&self) -> Candidate {
        let counts = self.clone();
        judge(&[EventKind::Msr], move |vcpu, _| {
            counts.add(vcpu);
            Verdict::Continue
        })
    }

    pub(crate) fn add(&self, vcpu: u32) {
        self.0[vcpu as usize].fetch_add(1, SeqCst);
    }

    pub(crate) fn of(&self, vcpu: usize) -> u64 {
        self.0[vcpu].load(SeqCst)
    }

    /// Waits until a vCPU has been judged again.
    pub(crate) fn await_more(&self, vcpu: usize) {
        self.await_total(vcpu, self.of(vcpu) + 1);
    }

    /// Waits until a vCPU has been judged so often.
    pub(crate) fn await_total(&self, vcpu: usize, total: u64) {
        while self.of(vcpu) < total {
            thread::yield_now();
        }
    }
}
