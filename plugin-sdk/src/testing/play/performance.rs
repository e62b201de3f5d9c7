//! One playing: enters the vCPUs in turn, brings what they tell to the policy's instances, and hands
//! back what they answer. Owns the order; carries out nothing.

use std::collections::BTreeMap;
use std::mem::take;

use oriel_machine::{End, Exit, mock::Idled};
use oriel_protocol::{Event, EventKind as Kind, Verdict, events::EventClass};

use super::{
    Cue, Judged,
    ears::{Ears, Notice, values},
    lawful::{can_take, closed},
    stage::Stage,
};
use crate::export::Exports;
use crate::native::Case;
use crate::testing::{Bench, Lost, MockEngine};
use crate::{Decision, EventKind, Failure, Moment, Verdicts, observe};

/// The most events of a scenario that comes to an end.
const EVENTS: usize = 1 << 20;

/// What came of it.
type Performed = (End, Vec<Judged>, Vec<String>);

/// One playing.
pub(super) struct Performance<'a, P, C> {
    bench: &'a mut Bench<P>,
    ears: Ears<P>,
    idled: Idled,
    cue: C,
    judged: Vec<Judged>,
    failures: Vec<String>,
    /// How many events of a kind each vCPU has shown to the observer, by filter.
    sampled: BTreeMap<(u32, usize), u64>,
    /// How many events have been told.
    told: usize,
}

impl<'a, P: Exports, C: FnMut(&mut Bench<P>, Cue)> Performance<'a, P, C> {
    pub(super) fn new(bench: &'a mut Bench<P>, ears: Ears<P>, idled: Idled, cue: C) -> Self {
        Self {
            bench,
            ears,
            idled,
            cue,
            judged: Vec::new(),
            failures: Vec::new(),
            sampled: BTreeMap::new(),
            told: 0,
        }
    }

    /// From the first instance to the last notice.
    pub(super) fn perform(mut self) -> Result<Performed, Failure> {
        self.stage()?
            .begin()
            .map_err(|refusal| format!("{refusal:?}"))?;
        let vcpus = self.stage()?.vcpus();
        for vcpu in 0..vcpus {
            self.bench.make_ready(vcpu)?;
            self.notice(vcpu, self.ears.created);
        }
        let end = self.play(vcpus)?;
        for vcpu in 0..vcpus {
            self.notice(vcpu, self.ears.unhooking);
        }
        Ok((end, self.judged, self.failures))
    }

    fn stage(&mut self) -> Result<&mut Stage, Failure> {
        let stage = self.bench.engine.seated();
        Ok(stage.ok_or("the machine is gone")?)
    }

    fn play(&mut self, vcpus: u32) -> Result<End, Failure> {
        loop {
            for vcpu in 0..vcpus {
                if let Some(end) = self.turn(vcpu)? {
                    return Ok(end);
                }
            }
            if self.told > EVENTS {
                return Err(format!("it did not come to an end within {EVENTS} events").into());
            }
        }
    }

    /// Plays a vCPU until it waits for another one, or has idled; how the VM ends, if it does.
    fn turn(&mut self, vcpu: u32) -> Result<Option<End>, Failure> {
        let mut verdict = Verdict::Continue;
        while self.told <= EVENTS {
            let exit = self.stage()?.enter(vcpu, take(&mut verdict));
            match exit? {
                Exit::Event(event) => verdict = self.hear(vcpu, &event),
                Exit::Kicked => {
                    self.pass_time()?;
                    return Ok(None);
                }
                Exit::Ended(end) => return Ok(Some(end)),
            }
            if verdict == Verdict::Crash {
                return Ok(Some(self.stop(vcpu)?));
            }
        }
        Ok(None)
    }

    /// A verdict stops the VM; the machine is told, so that the step's outcome is noted.
    fn stop(&mut self, vcpu: u32) -> Result<End, Failure> {
        self.stage()?.enter(vcpu, Verdict::Crash)?;
        Ok(End::Stopped)
    }

    /// The guest has idled: the clock goes on, and calls.
    fn pass_time(&mut self) -> Result<(), Failure> {
        let idled = u64::try_from(self.idled.so_far().as_nanos()).unwrap_or(u64::MAX);
        let Some(clock) = self.ears.ticks else {
            return self.bench.let_pass(idled, None);
        };
        let mut clock = |policy: &mut P, time_ns, engine: &mut MockEngine| {
            clock(policy, (time_ns, 0), engine);
        };
        self.bench.let_pass(idled, Some(&mut clock))
    }

    /// Brings an event to the policy; what it answers.
    fn hear(&mut self, vcpu: u32, event: &Event) -> Verdict {
        self.told += 1;
        if event.kind().class() == EventClass::Notice {
            let notice = self.notice_of(event);
            self.notice(vcpu, notice);
            return Verdict::Continue;
        }
        let Some(tag) = self.bench.engine.armed.tag(vcpu, event) else {
            return Verdict::Continue;
        };
        let case = Case { event, tag };
        let mut at = self.moment(vcpu, event);
        let (judges, observes) = (self.is_judged(&at, &case), self.is_observed(&at, event));
        if !judges && !observes {
            return Verdict::Continue;
        }
        at.seq = self.bench.next_seq(vcpu);
        let verdict = if judges {
            self.judge(&at, &case)
        } else {
            Verdict::Continue
        };
        if observes && verdict != Verdict::Crash {
            self.observe(&at, event);
        }
        verdict
    }

    fn judge(&mut self, at: &Moment, case: &Case<'_>) -> Verdict {
        let Some(kind) = self.kind_of(case.event) else {
            return Verdict::Continue;
        };
        let cue = Cue {
            vcpu: at.vcpu,
            before: self.judged.len(),
            kind,
        };
        (self.cue)(self.bench, cue);
        let Some(judge) = self.ears.judge_of(case.event).map(|ear| ear.judge) else {
            return Verdict::Continue;
        };
        let answer = self
            .bench
            .call_at(at, |policy, engine| judge(policy, at, case, engine));
        let verdict = self.lawful(at, case.event, answer);
        self.judged.push(Judged {
            vcpu: at.vcpu,
            seq: at.seq,
            kind,
            verdict: verdict.clone(),
        });
        verdict
    }

    /// The answer, or what stands in for it: the failure mode `closed`.
    fn lawful(
        &mut self,
        at: &Moment,
        event: &Event,
        answer: Result<Option<Verdict>, Lost>,
    ) -> Verdict {
        let reason = match answer {
            Ok(None) => return Verdict::Continue,
            Ok(Some(verdict)) if can_take(event, &verdict) => return verdict,
            Ok(Some(verdict)) => {
                let name = verdict.kind().name();
                format!("it answered `{name}`, which this event cannot take")
            }
            Err(lost) => {
                if let Ok(stage) = self.stage() {
                    stage.forget_writes(at.vcpu);
                }
                format!("{lost:?}")
            }
        };
        self.failures.push(reason);
        closed(event)
    }

    fn observe(&mut self, at: &Moment, event: &Event) {
        let (Some(ear), Some(kind)) = (self.ears.observes.as_ref(), self.kind_of(event)) else {
            return;
        };
        let (observe, values) = (ear.observe, values(&event.data));
        let seen = observe::Seen { kind, values };
        let told = self
            .bench
            .call_at(at, |policy, engine| observe(policy, at, seen, engine));
        self.note(told);
    }

    fn notice(&mut self, vcpu: u32, notice: Option<Notice<P>>) {
        let Some(notice) = notice else { return };
        let at = Moment {
            vcpu,
            cpl: 0,
            retired: false,
            decided: Decision::Continue,
            allowed: Verdicts::CONTINUE,
            seq: self.bench.seq(vcpu),
            ip: 0,
            cr3: 0,
            time_ns: self.bench.engine.time_ns,
        };
        let told = self
            .bench
            .call_at(&at, |policy, engine| notice(policy, &at, engine));
        self.note(told);
    }

    fn note(&mut self, told: Result<(), Lost>) {
        if let Err(lost) = told {
            self.failures.push(format!("{lost:?}"));
        }
    }

    fn notice_of(&self, event: &Event) -> Option<Notice<P>> {
        if event.kind() == Kind::CreateVcpu {
            self.ears.created
        } else if event.kind() == Kind::Pause {
            self.ears.paused
        } else {
            self.ears.unhooking
        }
    }

    fn is_judged(&self, at: &Moment, case: &Case<'_>) -> bool {
        let Some(ear) = self.ears.judge_of(case.event) else {
            return false;
        };
        let armed = &self.bench.engine.armed;
        self.bench.probes(|probe| (ear.wants)(probe, at, case))
            || armed.asks_for(at.vcpu, case.event)
    }

    /// Whether the observer's filters want it, of which each lets one in so many through.
    fn is_observed(&mut self, at: &Moment, event: &Event) -> bool {
        let (Some(ear), Some(kind)) = (self.ears.observes.as_ref(), self.kind_of(event)) else {
            return false;
        };
        let filters = self.bench.probes(ear.filters);
        let sampled = &mut self.sampled;
        let mut takes = |(index, filter): (usize, &observe::Filter)| {
            let seen = sampled.entry((at.vcpu, index)).or_default();
            *seen += 1;
            filter.one_in <= 1 || seen.is_multiple_of(filter.one_in.into())
        };
        let of_kind = filters.iter().enumerate();
        let mut of_kind =
            of_kind.filter(|(_, filter)| filter.kind == kind && filter.scope.covers(at));
        filters.is_empty() || of_kind.any(&mut takes)
    }

    fn moment(&self, vcpu: u32, event: &Event) -> Moment {
        Moment {
            vcpu,
            cpl: event.cpl,
            retired: event.retired,
            decided: Decision::Continue,
            allowed: event.allowed.into(),
            seq: 0,
            ip: event.ip,
            cr3: event.cr3,
            time_ns: self.bench.engine.time_ns,
        }
    }

    fn kind_of(&self, event: &Event) -> Option<EventKind> {
        KINDS
            .into_iter()
            .find(|kind| Kind::from(*kind) == event.kind())
    }
}

/// All kinds that policies see.
const KINDS: [EventKind; 18] = [
    EventKind::Cr,
    EventKind::Msr,
    EventKind::Xsetbv,
    EventKind::Breakpoint,
    EventKind::Hypercall,
    EventKind::Page,
    EventKind::Trap,
    EventKind::Descriptor,
    EventKind::CreateVcpu,
    EventKind::Pause,
    EventKind::Singlestep,
    EventKind::Cpuid,
    EventKind::Unhook,
    EventKind::MsrRead,
    EventKind::Pio,
    EventKind::Mmio,
    EventKind::Reset,
    EventKind::Shutdown,
];
