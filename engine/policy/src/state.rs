//! What a policy's instance holds on the host's side: the desk of the call that runs, its slot,
//! and what is left of its limits.

use std::{sync::Arc, time::Duration};

use oriel_protocol::{
    Refusal, Request,
    commands::{Scope, Service, Vcpu, Vm},
};
use wasmtime::{Store, StoreContextMut, StoreLimitsBuilder, UpdateDeadline, component::HasSelf};

use crate::{
    Desk, Failure, Slot,
    failure::Trace,
    growth::Growth,
    limits::{Allowance, HANDED_OVER_MAX, Limits},
    meter::{Dropped, Meter},
    watchdog::Pulse,
};

/// What a store may burn where instructions are counted: more than it ever can.
const FUEL: u64 = u64::MAX;

/// The data of a policy's store.
pub(crate) struct State {
    desk: Option<Box<dyn Desk>>,
    slot: Arc<Slot>,
    limits: Limits,
    allowance: Allowance,
    growth: Growth,
    left: Quota,
    /// What all instances of the policy on this VM use up.
    meter: Arc<Meter>,
    stop: Option<Pulse>,
    /// A call runs, or Wasm was unwound (by a trap, or by a panic of the desk): its memory may be
    /// half of something, and nobody enters it again.
    dead: bool,
    /// What calls use up is counted.
    counts: bool,
    /// The last line that it logged as an error in this call: a panic says here what it is.
    last_words: Option<String>,
}

/// How rights reach the state.
pub(crate) type Own = HasSelf<State>;

/// What is left of what one call may do.
#[derive(Clone, Copy, Debug)]
struct Quota {
    commands: u32,
    logs: u32,
    alerts: u32,
    /// What it has asked for when nothing was left. A line that is dropped is none: nobody tells
    /// the policy.
    refused: u32,
}

/// How a policy's state changes hands: the desk goes in with the call and comes back after it.
impl State {
    pub(crate) fn new(
        slot: &Arc<Slot>,
        limits: Limits,
        allowance: Allowance,
        meter: &Arc<Meter>,
    ) -> Self {
        let growth = StoreLimitsBuilder::new()
            .memory_size(limits.memory)
            .table_elements(limits.table_elements)
            .tables(limits.tables)
            .build();
        Self {
            desk: None,
            slot: Arc::clone(slot),
            limits,
            allowance,
            growth: growth.into(),
            left: Quota::of(&limits),
            meter: Arc::clone(meter),
            stop: None,
            dead: false,
            counts: false,
            last_words: None,
        }
    }

    /// A store for one instance, with every limit set.
    pub(crate) fn into_store(self, engine: &wasmtime::Engine) -> Store<Self> {
        let mut store = Store::new(engine, self);
        store.limiter(|state| &mut state.growth);
        store.set_hostcall_fuel(HANDED_OVER_MAX);
        store.epoch_deadline_callback(on_epoch);
        // Refused unless the host counts instructions.
        store.data_mut().counts = store.set_fuel(FUEL).is_ok();
        store
    }

    #[inline]
    pub(crate) fn begin(&mut self, slot: &Arc<Slot>, allowance: Allowance, desk: Box<dyn Desk>) {
        if !Arc::ptr_eq(&self.slot, slot) {
            self.slot = Arc::clone(slot);
        }
        self.allowance = allowance;
        self.left = Quota::of(&self.limits);
        self.stop = None;
        self.last_words = None;
        self.dead = true;
        self.desk = Some(desk);
    }

    /// Ends a call; only one that went well leaves it alive.
    #[inline]
    pub(crate) fn end(&mut self, well: bool) -> Option<Box<dyn Desk>> {
        self.dead = !well;
        self.desk.take()
    }

    /// Whether it has gone on asking in this call.
    #[inline]
    pub(crate) fn has_stormed(&self) -> bool {
        self.left.refused > self.limits.storm()
    }

    /// The storm that it has made.
    #[cold]
    pub(crate) fn storm(&self) -> Box<Failure> {
        Box::new(Failure::Storm {
            most: self.limits.commands,
            refused: self.left.refused,
        })
    }

    /// Why it was stopped, at `trace`; none if it was not.
    pub(crate) fn stopped(&self, trace: &Trace) -> Option<Failure> {
        Some(match self.stop? {
            Pulse::GoOn => return None,
            Pulse::Overdue { cpu_ns } => Failure::Overdue {
                limit: Duration::from_nanos(self.allowance.cpu_ns),
                cpu_ns,
                trace: trace.clone(),
            },
            Pulse::Stalled => Failure::Stalled {
                bound: Duration::from_nanos(self.allowance.wall_ns),
            },
            Pulse::RoundOver => Failure::RoundOver,
        })
    }

    /// Whether the watchdog that minds this policy looks at the slot.
    #[inline]
    pub(crate) fn is_watched_in(&self, slot: &Arc<Slot>) -> bool {
        Arc::ptr_eq(&self.slot, slot) || self.slot.has_watchdog_of(slot)
    }

    #[inline]
    pub(crate) const fn is_dead(&self) -> bool {
        self.dead
    }

    /// Whether its memory has grown so far that a new instance is better.
    #[inline]
    pub(crate) const fn is_worn(&self) -> bool {
        self.growth.memory > self.limits.renew
    }

    /// The instructions that a store has run so far; none where nobody counts them.
    #[inline]
    pub(crate) fn instructions(store: &Store<Self>) -> Option<u64> {
        store
            .data()
            .counts
            .then(|| FUEL.saturating_sub(store.get_fuel().unwrap_or(FUEL)))
    }

    /// Takes down that an event took so many instructions, and what it asked for.
    #[cold]
    pub(crate) fn count(&self, instructions: u64) {
        let host_calls = u64::from(self.limits.commands.saturating_sub(self.left.commands));
        self.meter
            .spend(instructions, host_calls, self.growth.memory);
    }

    pub(crate) fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    pub(crate) fn dropped(&self) -> Dropped {
        self.meter.dropped()
    }
}

/// How a policy asks for something.
impl State {
    /// Asks for something of the VM.
    pub(crate) fn vm<R: Request<Scope = Vm>>(&mut self, request: R) -> Result<R::Reply, Refusal> {
        answer::<R>(self.desk()?.vm(request.into_call())?)
    }

    /// Asks for something of one vCPU.
    pub(crate) fn vcpu<R>(&mut self, vcpu: u32, request: R) -> Result<R::Reply, Refusal>
    where
        R: Request<Scope = Vcpu>,
    {
        answer::<R>(self.desk()?.vcpu(vcpu, request.into_call())?)
    }

    /// Asks for something of the engine itself.
    pub(crate) fn service<R>(&mut self, request: R) -> Result<R::Reply, Refusal>
    where
        R: Request<Scope = Service>,
    {
        answer::<R>(self.desk()?.service(request.into_call())?)
    }

    /// The desk, if there is one and the call may still ask for something.
    fn desk(&mut self) -> Result<&mut dyn Desk, Refusal> {
        let desk = self.desk.as_deref_mut().ok_or(Refusal::Gone)?;
        self.left.command()?;
        Ok(desk)
    }

    /// Whether so many bytes can be an answer.
    pub(crate) fn fits(&self, length: usize) -> Result<(), Refusal> {
        if length > self.limits.reply_bytes {
            return Err(Refusal::Limit);
        }
        Ok(())
    }

    /// One alert less is left, of this call and of this second.
    pub(crate) fn spend_alert(&mut self) -> Result<(), Refusal> {
        let spent = self.left.alert().and_then(|()| self.meter.alert());
        spent.inspect_err(|_| self.meter.lose(|lost| &mut lost.alerts))
    }

    /// One log line less is left of this call, and so many bytes of this second.
    pub(crate) fn spend_log(&mut self, bytes: usize) -> Result<(), Refusal> {
        spend(&mut self.left.logs)?;
        self.meter.log(bytes)
    }

    pub(crate) fn drop_log(&mut self) {
        self.meter.lose(|lost| &mut lost.logs);
    }

    pub(crate) fn drop_metric(&mut self) {
        self.meter.lose(|lost| &mut lost.metrics);
    }

    pub(crate) fn keep_words(&mut self, line: &str) {
        self.last_words = Some(line.to_owned());
    }
}

impl Quota {
    const fn of(limits: &Limits) -> Self {
        Self {
            commands: limits.commands,
            logs: limits.logs,
            alerts: limits.alerts,
            refused: 0,
        }
    }

    #[inline]
    fn command(&mut self) -> Result<(), Refusal> {
        spend(&mut self.commands).inspect_err(|_| self.refused = self.refused.saturating_add(1))
    }

    fn alert(&mut self) -> Result<(), Refusal> {
        spend(&mut self.alerts).inspect_err(|_| self.refused = self.refused.saturating_add(1))
    }
}

fn spend(left: &mut u32) -> Result<(), Refusal> {
    *left = left.checked_sub(1).ok_or(Refusal::Limit)?;
    Ok(())
}

/// The reply to this request. Another row's would be a fault of the engine, which answers that it
/// cannot do it rather than hand over something else.
fn answer<R: Request>(reply: <R::Scope as Scope>::Reply) -> Result<R::Reply, Refusal> {
    R::from_reply(reply).ok_or(Refusal::Unsupported)
}

/// The epoch has moved: somebody is overdue. Is it this thread?
fn on_epoch(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    let pulse = state.slot.pulse(state.allowance);
    if pulse == Pulse::GoOn {
        return Ok(UpdateDeadline::Continue(1));
    }
    state.stop = Some(pulse);
    Ok(UpdateDeadline::Interrupt)
}
