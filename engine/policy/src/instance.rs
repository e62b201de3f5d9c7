//! An instance of a policy: one store, one thread at a time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use oriel_protocol::{Case, EventKind, Moment, Verdict, VerdictKind};
use wasmtime::Result as WasmResult;

use crate::{
    Desk, Dropped, Failure, Slot,
    bindings::exports::oriel::introspection::{lifecycle, state as wit_state},
    call::Visit,
    exports::Exports,
    judges::Store,
    limits::cut,
    meter::{Living, Meter},
    observe,
    policy::Linked,
    probe::Asked,
    state::State,
};

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// To be asked for its filters.
    Probe,
    /// To judge the events of this vCPU.
    Vcpu(u32),
    /// To judge the events of all vCPUs.
    Vm,
    /// To be called by the clock.
    Tick,
}

/// What an instance carries over a swap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The author's version of its shape.
    pub schema: u32,
    /// What it is.
    pub data: Vec<u8>,
}

/// One instance of a policy. A call moves a desk in and hands it back with the answer, whatever
/// the answer is. After a trap, and after it was stopped, an instance is dead: every further call
/// fails, and a new one is needed.
pub struct Instance {
    store: Store,
    exports: Box<Exports>,
    policy: Arc<Linked>,
    place: Place,
    number: u64,
    _living: Living,
}

/// The last number that was given to an instance.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// An answer, and the desk.
pub type Answer<T> = (Result<T, Failure>, Box<dyn Desk>);

impl Instance {
    /// Instantiates, and calls `init`.
    pub(crate) fn begin(
        policy: &Arc<Linked>,
        meter: &Arc<Meter>,
        place: Place,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<Self> {
        if !policy.minding.covers(slot) {
            return (Err(Failure::Foreign), desk);
        }
        let living = match meter.admit(policy.limits.instances) {
            Ok(living) => living,
            Err(no) => return (Err(no), desk),
        };
        let init = policy.times.init;
        let state = State::new(slot, policy.limits, init, meter);
        let mut store = state.into_store(policy.plugin.engine());
        let (begun, desk) = Visit::new(init, slot, desk).call(&mut store, |store| {
            let instance = policy.component.instantiate(&mut *store)?;
            let exports = match policy.indices.load(store, &instance) {
                Ok(exports) => exports,
                Err(error) => return Ok(Err(Failure::Mismatch(format!("{error:#}")))),
            };
            let answer = exports
                .lifecycle
                .call_init(store, &policy.settings, place.into())?;
            Ok(answer
                .map(|()| exports)
                .map_err(|no| Failure::Init(cut(no))))
        });
        let begun = begun.map_err(|no| *no).flatten();
        let instance = begun.map(|exports| Self {
            store,
            exports: Box::new(exports),
            policy: Arc::clone(policy),
            place,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed) + 1,
            _living: living,
        });
        (instance, desk)
    }

    /// Answers an event.
    pub fn judge(
        &mut self,
        case: &Case<'_>,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<Verdict> {
        let mut verdict = None;
        let before = State::instructions(&self.store);
        let visit = Visit::new(self.policy.times.event, slot, desk);
        let exports = &self.exports;
        let (answer, desk) = visit.call(&mut self.store, |store| {
            exports.judges.judge(store, case, &mut verdict)
        });
        if let Some(before) = before {
            self.count_since(before);
        }
        if answer.is_ok() && matches!(verdict, Some(Verdict::Continue)) && may_continue(case) {
            // Most answers are this one, and a constant is handed on faster than what may be anything.
            return (Ok(Verdict::Continue), desk);
        }
        let verdict = match (answer, verdict) {
            (Ok(()), Some(verdict)) => lawful(verdict, case),
            (Ok(()), None) => Err(Failure::Unheard(case.event.kind().name())),
            (Err(failure), _) => Err(*failure),
        };
        (verdict, desk)
    }

    /// Takes down what the event has used up.
    #[cold]
    fn count_since(&self, before: u64) {
        if let Some(after) = State::instructions(&self.store) {
            self.store.data().count(after.saturating_sub(before));
        }
    }

    /// Shows it an event that it asked to see.
    pub fn observe(
        &mut self,
        case: &Case<'_>,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<()> {
        let visit = Visit::new(self.policy.times.event, slot, desk);
        self.call("observe", visit, |exports, store| {
            let kind = observe::kind(case.event.kind())?;
            let [a, b, c, d] = observe::numbers(case);
            let observe = exports.observe.as_ref()?;
            Some(observe.call_observe(store, case.into(), kind, a, b, c, d))
        })
    }

    /// Tells it something that takes no answer.
    pub fn notice(
        &mut self,
        kind: EventKind,
        at: Moment,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<()> {
        let visit = Visit::new(self.policy.times.event, slot, desk);
        self.call(kind.name(), visit, |exports, store| {
            exports.notice(store, kind, at)
        })
    }

    /// Calls it by the clock; `missed` calls were left out since the last.
    pub fn tick(
        &mut self,
        time_ns: u64,
        missed: u32,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<()> {
        let visit = Visit::new(self.policy.times.tick, slot, desk);
        self.call("tick", visit, |exports, store| {
            Some(exports.tick.as_ref()?.call_tick(store, time_ns, missed))
        })
    }

    /// Asks for what is to be carried over a swap.
    pub fn save(&mut self, slot: &Arc<Slot>, desk: Box<dyn Desk>) -> Answer<Saved> {
        let most = self.policy.limits.saved;
        let visit = Visit::new(self.policy.times.state, slot, desk);
        let (saved, desk) = self.call("state", visit, |exports, store| {
            Some(exports.state.as_ref()?.call_save(store))
        });
        (saved.and_then(|saved| Saved::within(most, saved)), desk)
    }

    /// Hands over what the instance before it saved; `revision` is the one that did.
    pub fn restore(
        &mut self,
        saved: Saved,
        revision: u64,
        slot: &Arc<Slot>,
        desk: Box<dyn Desk>,
    ) -> Answer<()> {
        let saved = saved.into();
        let visit = Visit::new(self.policy.times.state, slot, desk);
        let (answer, desk) = self.call("state", visit, |exports, store| {
            Some(
                exports
                    .state
                    .as_ref()?
                    .call_restore(store, &saved, revision),
            )
        });
        (
            answer.and_then(|answer| answer.map_err(|no| Failure::Declined(cut(no)))),
            desk,
        )
    }

    /// Asks what it wants to hear and see.
    pub(crate) fn ask(&mut self, slot: &Arc<Slot>, desk: Box<dyn Desk>) -> Answer<Asked> {
        let (hears, granted) = (self.policy.hears, self.policy.granted);
        let visit = Visit::new(self.policy.times.init, slot, desk);
        self.call("filters", visit, |exports, store| {
            Some(exports.ask(store, hears, granted))
        })
    }

    /// What it is for.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// Its number, from 1: no other instance of this process has it.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Whether it cannot be called any more.
    pub fn is_dead(&self) -> bool {
        self.store.data().is_dead()
    }

    /// Whether it has grown past [`Limits::renew`](crate::Limits::renew): whoever calls it had better call a new one.
    #[inline]
    pub fn is_worn(&self) -> bool {
        self.store.data().is_worn()
    }

    /// What was dropped of all that the policy's instances on this VM said, since they began.
    pub fn dropped(&self) -> Dropped {
        self.store.data().dropped()
    }

    /// Calls `code`, which finds nothing to call if the policy does not export `name`.
    fn call<T>(
        &mut self,
        name: &'static str,
        visit: Visit<'_>,
        code: impl FnOnce(&Exports, &mut Store) -> Option<WasmResult<T>>,
    ) -> Answer<T> {
        let exports = &self.exports;
        let (answer, desk) = visit.call(&mut self.store, |store| code(exports, store).transpose());
        let answer = answer.map_err(|no| *no);
        (
            answer.and_then(|answer| answer.ok_or(Failure::Unheard(name))),
            desk,
        )
    }
}

const fn may_continue(case: &Case<'_>) -> bool {
    case.event.allowed.contains(VerdictKind::Continue.set())
}

/// The verdict, if the event can take it.
fn lawful(verdict: Verdict, case: &Case<'_>) -> Result<Verdict, Failure> {
    let kind = verdict.kind();
    if !case.event.allowed.contains(kind.set()) {
        return Err(Failure::Illegal { verdict: kind });
    }
    if let Verdict::Emulate(bytes) = &verdict
        && bytes.len() > Verdict::EMULATE_MAX
    {
        return Err(Failure::TooLong {
            length: bytes.len(),
        });
    }
    Ok(verdict)
}

impl Saved {
    fn within(most: usize, answer: Result<wit_state::Saved, String>) -> Result<Self, Failure> {
        let wit_state::Saved { schema, data } = answer.map_err(|no| Failure::Declined(cut(no)))?;
        if data.len() > most {
            let length = data.len();
            return Err(Failure::Declined(format!(
                "it saved {length} bytes; {most} at most"
            )));
        }
        Ok(Self { schema, data })
    }
}

impl From<Saved> for wit_state::Saved {
    fn from(Saved { schema, data }: Saved) -> Self {
        Self { schema, data }
    }
}

impl From<Place> for lifecycle::Place {
    fn from(place: Place) -> Self {
        match place {
            Place::Probe => Self::Probe,
            Place::Vcpu(vcpu) => Self::Vcpu(vcpu),
            Place::Vm => Self::Vm,
            Place::Tick => Self::Tick,
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Instance")
            .field("policy", &self.policy.name)
            .field("place", &self.place)
            .field("dead", &self.is_dead())
            .finish_non_exhaustive()
    }
}
