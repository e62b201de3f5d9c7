//! The bench while a scenario is played on it: instances for a machine's vCPUs, its events' numbers,
//! and its clock. Plays nothing by itself.

use super::{Bench, EVENT_NS, Lost};
use crate::policy::begin;
use crate::testing::MockEngine;
use crate::testing::engine::Armed;
use crate::{Failure, Moment, Place, Policy};

/// A call by the clock: the time in nanoseconds.
type Ticking<'a, P> = &'a mut dyn FnMut(&mut P, u64, &mut MockEngine);

impl<P: Policy> Bench<P> {
    /// Another VM: nothing of the last one is left but the store and what was told.
    pub(in crate::testing) fn clear(&mut self) {
        self.crash();
        self.seqs.clear();
        self.idled_ns = 0;
        self.engine.time_ns = 0;
        self.due_ns = self.tick_ns.unwrap_or(0);
        self.engine.armed = Armed::default();
    }

    /// Makes the instance of a vCPU before its first event.
    pub(in crate::testing) fn make_ready(&mut self, vcpu: u32) -> Result<(), Failure> {
        let slot = self.slot(vcpu);
        if !self.instances.contains_key(&slot) {
            let place = self.place(vcpu);
            let instance = begin(self.config.clone(), place, &mut self.engine)?;
            self.instances.insert(slot, instance);
        }
        Ok(())
    }

    /// Asks the probe.
    pub(in crate::testing) fn probes<R>(&self, ask: impl FnOnce(&P) -> R) -> R {
        ask(&self.probe)
    }

    /// Numbers an event.
    pub(in crate::testing) fn next_seq(&mut self, vcpu: u32) -> u64 {
        let seq = self.seqs.entry(vcpu).or_default();
        *seq += 1;
        *seq
    }

    /// The number of the last event.
    pub(in crate::testing) fn seq(&self, vcpu: u32) -> u64 {
        self.seqs.get(&vcpu).copied().unwrap_or(0)
    }

    /// Calls the instance of a moment's vCPU.
    pub(in crate::testing) fn call_at<R>(
        &mut self,
        at: &Moment,
        call: impl FnOnce(&mut P, &mut MockEngine) -> R,
    ) -> Result<R, Lost> {
        let called = self.call(at.vcpu, call);
        self.engine.time_ns += EVENT_NS;
        called
    }

    /// Lets the guest's idle time pass, which is so long by now, and the clock call as often as it
    /// is due.
    pub(in crate::testing) fn let_pass(
        &mut self,
        idled_ns: u64,
        clock: Option<Ticking<'_, P>>,
    ) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.idled_ns, idled_ns);
        self.engine.time_ns += idled_ns.saturating_sub(before);
        let (Some(clock), Some(period)) = (clock, self.tick_ns) else {
            return Ok(());
        };
        while self.engine.time_ns >= self.due_ns {
            self.due_ns += period;
            self.tick_by(clock)?;
        }
        Ok(())
    }

    fn tick_by(&mut self, call: Ticking<'_, P>) -> Result<(), Failure> {
        let mut ticking = match self.ticking.take() {
            Some(ticking) => ticking,
            None => begin(self.config.clone(), Place::Tick, &mut self.engine)?,
        };
        let time_ns = self.engine.time_ns;
        call(&mut ticking, time_ns, &mut self.engine);
        self.ticking = Some(ticking);
        Ok(())
    }
}
