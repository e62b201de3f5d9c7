//! What a policy hears of a machine: its exports, as functions that can be called with what the
//! machine tells. Owns no instance.

use oriel_protocol::{Event, EventData, EventSet, Verdict};

use crate::export::{Exports, Told};
use crate::judge::is_wanted;
use crate::native::{Case, Spoken};
use crate::testing::MockEngine;
use crate::{CreateVcpu, EventKind, Judge, Moment, Observe, Pause, State, Tick, Unhook, observe};

/// All ears of a policy.
pub(super) struct Ears<P> {
    judges: Vec<Ear<P>>,
    pub(super) observes: Option<Observer<P>>,
    pub(super) created: Option<Notice<P>>,
    pub(super) paused: Option<Notice<P>>,
    pub(super) unhooking: Option<Notice<P>>,
    pub(super) ticks: Option<Clock<P>>,
}

/// Something that is told and not answered.
pub(super) type Notice<P> = fn(&mut P, &Moment, &mut MockEngine);
/// What the clock calls: the time, and how many calls were left out.
pub(super) type Clock<P> = fn(&mut P, (u64, u32), &mut MockEngine);
type Answering<P> = fn(&mut P, &Moment, &Case<'_>, &mut MockEngine) -> Option<Verdict>;

/// The ear for one kind.
pub(super) struct Ear<P> {
    kind: EventKind,
    /// Whether the filters of the probe want it.
    pub(super) wants: fn(&P, &Moment, &Case<'_>) -> bool,
    pub(super) judge: Answering<P>,
}

/// The ear that only listens.
#[derive(Clone, Copy)]
pub(super) struct Observer<P> {
    pub(super) filters: fn(&P) -> Vec<observe::Filter>,
    pub(super) observe: fn(&mut P, &Moment, observe::Seen, &mut MockEngine),
}

impl<P: Exports> Ears<P> {
    /// Those that `export!` names.
    pub(super) fn of() -> Self {
        let mut ears = Self {
            judges: Vec::new(),
            observes: None,
            created: None,
            paused: None,
            unhooking: None,
            ticks: None,
        };
        P::tell(&mut ears);
        ears
    }

    /// The kinds that it judges.
    pub(super) fn judged(&self) -> Vec<EventKind> {
        self.judges.iter().map(|ear| ear.kind).collect()
    }

    /// The kinds that the machine must tell.
    pub(super) fn heard(&self) -> EventSet {
        if self.observes.is_some() {
            return EventSet::all();
        }
        let judged = self.judges.iter().map(|ear| ear.kind.into());
        let notices = [
            (self.created.is_some(), EventKind::CreateVcpu),
            (self.paused.is_some(), EventKind::Pause),
            (self.unhooking.is_some(), EventKind::Unhook),
        ];
        let told = notices.into_iter().filter(|(told, _)| *told);
        judged.chain(told.map(|(_, kind)| kind.into())).collect()
    }

    /// The ear for an event, if there is one.
    pub(super) fn judge_of(&self, event: &Event) -> Option<&Ear<P>> {
        let kind = event.kind();
        self.judges
            .iter()
            .find(|ear| oriel_protocol::EventKind::from(ear.kind) == kind)
    }
}

impl<P: Exports> Told<P> for Ears<P> {
    fn judges<E: crate::Event>(&mut self)
    where
        P: Judge<E>,
    {
        self.judges.push(Ear {
            kind: E::KIND,
            wants: |probe, at, case| {
                let filters = <P as Judge<E>>::filters(probe);
                E::of(case).is_some_and(|event| is_wanted(&filters, at, &event))
            },
            judge: |policy, at, case, engine| Some(policy.judge(at, E::of(case)?, engine).spoken()),
        });
    }

    fn observes(&mut self)
    where
        P: Observe,
    {
        self.observes = Some(Observer {
            filters: |probe| Observe::filters(probe),
            observe: |policy, at, seen, engine| policy.observe(at, seen, engine),
        });
    }

    fn ticks(&mut self)
    where
        P: Tick,
    {
        self.ticks = Some(|policy, (time_ns, missed), engine| policy.tick(time_ns, missed, engine));
    }

    fn saves(&mut self)
    where
        P: State,
    {
        // A swap is the test's own doing: `Bench::swap`.
    }

    fn hears_of_vcpus(&mut self)
    where
        P: CreateVcpu,
    {
        self.created = Some(|policy, at, engine| policy.created(at, engine));
    }

    fn hears_of_pauses(&mut self)
    where
        P: Pause,
    {
        self.paused = Some(|policy, at, engine| policy.paused(at, engine));
    }

    fn hears_of_the_end(&mut self)
    where
        P: Unhook,
    {
        self.unhooking = Some(|policy, _, engine| policy.unhooking(engine));
    }
}

/// The first four values of the kind's event; what is missing is 0.
pub(super) fn values(data: &EventData) -> [u64; 4] {
    match *data {
        EventData::Cr(it) => [it.cr.into(), it.old, it.new, it.new],
        EventData::Msr(it) => [it.msr.into(), it.old, it.new, it.new],
        EventData::Xsetbv(it) => [it.xcr.into(), it.old, it.new, it.new],
        EventData::Breakpoint(it) => [it.gva, it.gpa, it.length.into(), it.managed.into()],
        EventData::Hypercall(it) => [it.number, it.a, it.b, it.c],
        EventData::Page(it) => [
            it.gva.unwrap_or(0),
            it.gpa,
            touch(it.access.bits(), it.gva.is_some(), it.value.is_some()),
            it.size.into(),
        ],
        EventData::Trap(it) => {
            let code = it.error_code.unwrap_or(0).into();
            [it.vector.into(), code, it.address, 0]
        }
        EventData::Descriptor(it) => [it.table as u64 - 1, it.write.into(), 0, 0],
        EventData::Singlestep(it) => [it.failed.into(), 0, 0, 0],
        EventData::Cpuid(it) => {
            let leaf = it.leaf;
            [
                it.function.into(),
                it.index.into(),
                leaf.eax.into(),
                leaf.ebx.into(),
            ]
        }
        EventData::MsrRead(it) => [it.msr.into(), it.value, it.value, 0],
        EventData::Pio(it) => [
            it.port.into(),
            it.write.into(),
            it.size.into(),
            it.count.into(),
        ],
        EventData::Mmio(it) => [it.gpa, it.write.into(), it.size.into(), it.value],
        EventData::Shutdown(it) => [it.cause as u64, 0, 0, 0],
        EventData::CreateVcpu(_) | EventData::Pause(_) | EventData::Unhook(_) => [0; 4],
        EventData::CommandError(_) | EventData::Reset(_) => [0; 4],
    }
}

/// The kinds of access, and what is known of it, as `judge-page` has them in one number.
fn touch(access: u8, gva: bool, value: bool) -> u64 {
    u64::from(access) | u64::from(gva) << 3 | u64::from(value) << 4
}
