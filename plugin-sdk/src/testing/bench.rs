//! The engine's part towards a policy: instances come and go, events pass the filters.
//!
//! Owns the instances and the numbers of events. Leaves to the [`MockEngine`] what a policy
//! asks for, and to the test what a verdict would do to a guest.

mod hearing;
#[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
mod playing;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{MockEngine, engine::Overdue};
use crate::judge::is_wanted;
use crate::policy::begin;
use crate::verdict::Answer;
use crate::{
    Config, Decision, Event, Failure, Judge, Moment, Place, Policy, Refusal, Register, Verdicts,
};

/// How long an event takes, in nanoseconds.
const EVENT_NS: u64 = 1_000_000;

/// A policy under test: one instance for each vCPU, as the engine would have them.
///
/// ```
/// use std::time::Duration;
///
/// use oriel_sdk::testing::{Bench, Lost};
/// use oriel_sdk::{Config, Judge, Moment, Plain, Store, Verdicts, msr};
///
/// #[derive(Default)]
/// struct Once;
///
/// impl Plain for Once {}
///
/// impl Judge<msr::Write> for Once {
///     fn filters(&self) -> Vec<msr::Filter> {
///         vec![msr::Filter::one(msr::LSTAR)]
///     }
///
///     fn judge(&mut self, at: &Moment, write: msr::Write, host: &mut impl Store) -> msr::Verdict {
///         assert_ne!(write.new, 99, "too large");
///         match host.first_number("lstar", write.new) {
///             Ok(first) if first == write.new => msr::Verdict::Continue,
///             Ok(_) | Err(_) => at
///                 .first_allowed([msr::Verdict::Deny, msr::Verdict::Replace(write.old)])
///                 .unwrap_or(msr::Verdict::Crash),
///         }
///     }
/// }
///
/// # fn main() -> Result<(), oriel_sdk::Failure> {
/// let lstar = |new| msr::Write::new(msr::LSTAR, 0, new);
/// let mut bench = Bench::<Once>::new(Config::new())?.ticking(Duration::from_secs(1));
/// assert_eq!(bench.filters::<msr::Write>().len(), 1);
/// assert_eq!(bench.raise(0, lstar(7)), Some(msr::Verdict::Continue));
/// // As a trap does: the instance is gone, what it has stored is not.
/// bench.crash();
/// assert_eq!(bench.raise(1, lstar(8)), Some(msr::Verdict::Deny));
/// // An instruction that has run cannot fault.
/// let at = Moment { retired: true, ..bench.moment(1, Verdicts::REPLACE) };
/// assert_eq!(bench.raise_at(at, lstar(8)), Some(msr::Verdict::Replace(0)));
/// // A panic loses the instance and fails no test that expects it.
/// assert!(matches!(bench.attempt(0, lstar(99)), Err(Lost::Panicked(words)) if words.contains("large")));
///
/// let mut one_for_all = Bench::<Once>::new(Config::new())?.per_vm();
/// assert_eq!(one_for_all.raise(3, lstar(7)), Some(msr::Verdict::Continue));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Bench<P> {
    /// The host that the policy talks to, for the test to prepare and to look at.
    pub engine: MockEngine,
    config: Config,
    per_vm: bool,
    probe: P,
    /// By vCPU; the one for the whole VM is that of vCPU 0.
    instances: BTreeMap<u32, P>,
    ticking: Option<P>,
    /// The numbers of the last events, by vCPU.
    seqs: BTreeMap<u32, u64>,
    revision: u64,
    /// How long a scenario's guest has idled.
    #[cfg_attr(not(feature = "scenarios"), expect(dead_code, reason = "of scenarios"))]
    idled_ns: u64,
    /// How often the clock calls while a scenario is played, and when next.
    #[cfg_attr(not(feature = "scenarios"), expect(dead_code, reason = "of scenarios"))]
    tick_ns: Option<u64>,
    #[cfg_attr(not(feature = "scenarios"), expect(dead_code, reason = "of scenarios"))]
    due_ns: u64,
}

/// How an instance was lost while it was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Its deadline passed ([`MockEngine::stop_after`]).
    Overdue,
    /// It panicked, with these words.
    Panicked(String),
}

impl<P: Policy> Bench<P> {
    /// Loads the policy with this configuration, on four vCPUs.
    ///
    /// # Errors
    /// The policy refuses the configuration, or does not know a setting.
    pub fn new(config: Config) -> Result<Self, Failure> {
        let mut refusing = MockEngine::default();
        refusing.refuse_all(Refusal::Denied);
        Ok(Self {
            probe: begin(config.clone(), Place::Probe, &mut refusing)?,
            engine: MockEngine::default(),
            config,
            per_vm: false,
            instances: BTreeMap::new(),
            ticking: None,
            seqs: BTreeMap::new(),
            revision: 1,
            idled_ns: 0,
            tick_ns: None,
            due_ns: 0,
        })
    }

    /// With one instance for the whole VM, as `"instances": "vm"` in the manifest asks for.
    pub fn per_vm(mut self) -> Self {
        self.per_vm = true;
        self
    }

    /// With a clock that calls so often while a scenario is played, as `"tick-ms"` in the manifest asks
    /// for. The guest's time is counted: a millisecond for each call of the policy, and what it idles.
    #[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
    pub fn ticking(mut self, period: std::time::Duration) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        (self.tick_ns, self.due_ns) = (Some(period), period);
        self
    }

    /// The filters the policy names for this kind of event.
    pub fn filters<E: Event>(&self) -> Vec<E::Filter>
    where
        P: Judge<E>,
    {
        self.probe.filters()
    }

    /// Raises an event on a vCPU now. `None`: the policy's filters do not want it.
    ///
    /// # Panics
    /// The policy did, or it was stopped: [`attempt`](Self::attempt) says so instead.
    #[track_caller]
    pub fn raise<E: Event>(&mut self, vcpu: u32, event: E) -> Option<E::Verdict>
    where
        P: Judge<E>,
    {
        let at = self.moment(vcpu, E::Verdict::ALL);
        self.raise_at(at, event)
    }

    /// Raises an event at a moment of the test's own making; its number is the next one.
    ///
    /// # Panics
    /// As [`raise`](Self::raise).
    #[track_caller]
    pub fn raise_at<E: Event>(&mut self, at: Moment, event: E) -> Option<E::Verdict>
    where
        P: Judge<E>,
    {
        match self.attempt_at(at, event) {
            Ok(verdict) => verdict,
            Err(lost) => panic!("the policy was lost: {lost:?}"),
        }
    }

    /// As [`raise`](Self::raise), for a policy that may panic or be stopped. Then the instance is
    /// lost, and what it keeps in the store is not; the next event makes a new one.
    ///
    /// # Errors
    /// How it was lost.
    #[track_caller]
    pub fn attempt<E: Event>(&mut self, vcpu: u32, event: E) -> Result<Option<E::Verdict>, Lost>
    where
        P: Judge<E>,
    {
        let at = self.moment(vcpu, E::Verdict::ALL);
        self.attempt_at(at, event)
    }

    #[track_caller]
    fn attempt_at<E: Event>(&mut self, at: Moment, event: E) -> Result<Option<E::Verdict>, Lost>
    where
        P: Judge<E>,
    {
        if !is_wanted(&self.filters::<E>(), &at, &event) {
            return Ok(None);
        }
        let verdict = self.deliver(at, |policy, at, engine| policy.judge(at, event, engine));
        verdict.map(Some)
    }

    /// What a moment would be on that vCPU now, for an event that can take these verdicts.
    ///
    /// # Panics
    /// There is no such vCPU.
    #[track_caller]
    pub fn moment(&self, vcpu: u32, allowed: Verdicts) -> Moment {
        let Some(state) = self.engine.vcpus.get(vcpu as usize) else {
            panic!("there is no vCPU {vcpu} on the bench");
        };
        Moment {
            vcpu,
            cpl: state.cpl,
            retired: false,
            decided: Decision::Continue,
            allowed,
            seq: 0,
            ip: state.register(Register::Rip),
            cr3: state.register(Register::Cr3),
            time_ns: self.engine.time_ns,
        }
    }

    /// Drops all instances, as a trap or a missed deadline does; the next event makes new ones.
    /// What the policy keeps in the store stays.
    pub fn crash(&mut self) {
        self.instances.clear();
        self.ticking = None;
    }

    /// Brings an event to the instance of its vCPU, with the next number.
    #[track_caller]
    fn deliver<R>(
        &mut self,
        mut at: Moment,
        call: impl FnOnce(&mut P, &Moment, &mut MockEngine) -> R,
    ) -> Result<R, Lost> {
        let seq = self.seqs.entry(at.vcpu).or_default();
        *seq += 1;
        at.seq = *seq;
        let result = self.call(at.vcpu, |policy, engine| call(policy, &at, engine));
        self.engine.time_ns += EVENT_NS;
        result
    }

    /// Calls the instance of a vCPU, which is made if it is not there. A panic loses it.
    #[track_caller]
    fn call<R>(
        &mut self,
        vcpu: u32,
        call: impl FnOnce(&mut P, &mut MockEngine) -> R,
    ) -> Result<R, Lost> {
        let slot = self.slot(vcpu);
        let mut instance = match self.instances.remove(&slot) {
            Some(instance) => instance,
            None => self.make(vcpu),
        };
        self.engine.judging = vcpu;
        let engine = &mut self.engine;
        // What a lost instance leaves half done is its own; of the engine it has only asked.
        let called = catch_unwind(AssertUnwindSafe(|| call(&mut instance, engine)));
        self.engine.paused.clear();
        let result = called.map_err(|reason| Lost::of(&*reason))?;
        self.instances.insert(slot, instance);
        Ok(result)
    }

    #[track_caller]
    fn make(&mut self, vcpu: u32) -> P {
        match begin(self.config.clone(), self.place(vcpu), &mut self.engine) {
            Ok(instance) => instance,
            Err(failure) => panic!("the policy refuses to begin: {}", failure.as_str()),
        }
    }

    fn place(&self, vcpu: u32) -> Place {
        if self.per_vm {
            Place::Vm
        } else {
            Place::Vcpu(vcpu)
        }
    }

    fn slot(&self, vcpu: u32) -> u32 {
        if self.per_vm { 0 } else { vcpu }
    }
}

impl Lost {
    fn of(reason: &(dyn Any + Send)) -> Self {
        if reason.is::<Overdue>() {
            return Self::Overdue;
        }
        let text = reason.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| reason.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
