//! The engine's part towards a policy: instances come and go, events pass the filters.
//!
//! Owns the instances and the numbers of events. Leaves to the [`MockEngine`] what a policy
//! asks for, and to the test what a verdict would do to a guest.

mod hearing;

use std::collections::BTreeMap;

use super::MockEngine;
use crate::judge::is_wanted;
use crate::policy::begin;
use crate::verdict::Answer;
use crate::{
    Config, Decision, Event, Failure, Judge, Moment, Place, Policy, Refusal, Register, Verdicts,
};

/// How long an event takes, in nanoseconds.
const EVENT_NS: u64 = 1_000_000;

/// A policy under test: one instance for each vCPU, as the engine would have them.
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
        })
    }

    /// With one instance for the whole VM, as `"instances": "vm"` in the manifest asks for.
    pub fn per_vm(mut self) -> Self {
        self.per_vm = true;
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
    #[track_caller]
    pub fn raise<E: Event>(&mut self, vcpu: u32, event: E) -> Option<E::Verdict>
    where
        P: Judge<E>,
    {
        let at = self.moment(vcpu, E::Verdict::ALL);
        self.raise_at(at, event)
    }

    /// Raises an event at a moment of the test's own making; its number is the next one.
    #[track_caller]
    pub fn raise_at<E: Event>(&mut self, at: Moment, event: E) -> Option<E::Verdict>
    where
        P: Judge<E>,
    {
        if !is_wanted(&self.filters::<E>(), &at, &event) {
            return None;
        }
        Some(self.deliver(at, |policy, at, engine| policy.judge(at, event, engine)))
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
    ) -> R {
        let seq = self.seqs.entry(at.vcpu).or_default();
        *seq += 1;
        at.seq = *seq;
        let result = self.call(at.vcpu, |policy, engine| call(policy, &at, engine));
        self.engine.time_ns += EVENT_NS;
        result
    }

    /// Calls the instance of a vCPU, which is made if it is not there. A panic loses it.
    #[track_caller]
    fn call<R>(&mut self, vcpu: u32, call: impl FnOnce(&mut P, &mut MockEngine) -> R) -> R {
        let slot = self.slot(vcpu);
        let mut instance = match self.instances.remove(&slot) {
            Some(instance) => instance,
            None => self.make(vcpu),
        };
        self.engine.judging = vcpu;
        let result = call(&mut instance, &mut self.engine);
        self.engine.paused.clear();
        self.instances.insert(slot, instance);
        result
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

#[cfg(test)]
mod tests;
