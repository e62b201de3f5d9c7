//! What a policy hears besides events to judge: swaps, the clock, notices, what it observes.
//!
//! ```
//! use oriel_sdk::state::Saved;
//! use oriel_sdk::testing::Bench;
//! use oriel_sdk::{
//!     Config, CreateVcpu, EventKind, Failure, Host, Metrics, Moment, Observe, Pause, Plain, State,
//!     Tick, Unhook, observe,
//! };
//!
//! /// Counts what it hears.
//! #[derive(Default)]
//! struct Census {
//!     seen: u64,
//! }
//!
//! impl Plain for Census {}
//!
//! impl Observe for Census {
//!     fn observe(&mut self, _: &Moment, _: observe::Seen, _: &mut impl Host) {
//!         self.seen += 1;
//!     }
//! }
//!
//! impl State for Census {
//!     fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
//!         Saved::encode(1, &self.seen)
//!     }
//!
//!     fn restore(&mut self, saved: Saved, _: u64, host: &mut impl Metrics) -> Result<(), Failure> {
//!         self.seen = saved.decode(1)?;
//!         host.record("carried", self.seen);
//!         Ok(())
//!     }
//! }
//! # impl Tick for Census {
//! #     fn tick(&mut self, _: u64, missed: u32, host: &mut impl Metrics) { host.count("ticks", 1 + u64::from(missed)); }
//! # }
//! # impl CreateVcpu for Census { fn created(&mut self, _: &Moment, host: &mut impl Metrics) { host.count("vcpus", 1); } }
//! # impl Pause for Census { fn paused(&mut self, _: &Moment, host: &mut impl Metrics) { host.count("pauses", 1); } }
//! # impl Unhook for Census { fn unhooking(&mut self, host: &mut impl Metrics) { host.count("ends", 1); } }
//!
//! # fn main() -> Result<(), Failure> {
//! let mut bench = Bench::<Census>::new(Config::new())?;
//! let cpuid = observe::Seen { kind: EventKind::Cpuid, values: [1, 0, 0, 0] };
//! assert!(bench.observe(0, cpuid));
//! bench.swap(0)?;
//! assert_eq!(bench.engine.records["carried"], [1]);
//! bench.tick(2)?;
//! bench.create_vcpu(1);
//! bench.pause(0);
//! bench.unhook(0);
//! assert_eq!(bench.engine.counters["ticks"], 3);
//! # Ok(())
//! # }
//! ```

use super::{Bench, Lost};
use crate::policy::begin;
use crate::{
    CreateVcpu, Failure, Observe, Pause, Place, Policy, State, Tick, Unhook, Verdicts, observe,
};

impl<P: Policy> Bench<P> {
    /// Swaps the instance of a vCPU for one of a new revision, with the same configuration.
    ///
    /// # Errors
    /// The one does not save or the other does not restore: the swap did not take place.
    #[track_caller]
    pub fn swap(&mut self, vcpu: u32) -> Result<(), Failure>
    where
        P: State,
    {
        let revision = self.revision;
        let saved = self.call(vcpu, |policy, engine| policy.save(engine));
        let saved = saved.map_err(|lost| format!("it was lost: {lost:?}"))??;
        // What the old one has armed is undone: the new one arms its own.
        self.engine.disarm();
        let mut next: P = begin(self.config.clone(), self.place(vcpu), &mut self.engine)?;
        next.restore(saved, revision, &mut self.engine)?;
        self.instances.insert(self.slot(vcpu), next);
        self.revision += 1;
        Ok(())
    }

    /// Shows an event to the observer; says whether its filters want it. None is left out for
    /// its rate.
    #[track_caller]
    pub fn observe(&mut self, vcpu: u32, seen: observe::Seen) -> bool
    where
        P: Observe,
    {
        let at = self.moment(vcpu, Verdicts::empty());
        let filters = Observe::filters(&self.probe);
        let accepts =
            |filter: &observe::Filter| filter.kind == seen.kind && filter.scope.covers(&at);
        let wanted = filters.is_empty() || filters.iter().any(accepts);
        if wanted {
            whole(self.deliver(at, |policy, at, engine| policy.observe(at, seen, engine)));
        }
        wanted
    }

    /// Lets the clock call, on the instance that it has.
    ///
    /// # Errors
    /// The policy refuses to make that instance.
    pub fn tick(&mut self, missed: u32) -> Result<(), Failure>
    where
        P: Tick,
    {
        let ticking = match self.ticking.take() {
            Some(ticking) => ticking,
            None => begin(self.config.clone(), Place::Tick, &mut self.engine)?,
        };
        let time_ns = self.engine.time_ns;
        self.ticking
            .insert(ticking)
            .tick(time_ns, missed, &mut self.engine);
        Ok(())
    }

    /// Says that this vCPU was made.
    #[track_caller]
    pub fn create_vcpu(&mut self, vcpu: u32)
    where
        P: CreateVcpu,
    {
        let at = self.moment(vcpu, Verdicts::empty());
        whole(self.deliver(at, |policy, at, engine| policy.created(at, engine)));
    }

    /// Says that this vCPU was paused.
    #[track_caller]
    pub fn pause(&mut self, vcpu: u32)
    where
        P: Pause,
    {
        let at = self.moment(vcpu, Verdicts::empty());
        whole(self.deliver(at, |policy, at, engine| policy.paused(at, engine)));
    }

    /// Says that introspection is about to end, to the instance of this vCPU.
    #[track_caller]
    pub fn unhook(&mut self, vcpu: u32)
    where
        P: Unhook,
    {
        whole(self.call(vcpu, |policy, engine| policy.unhooking(engine)));
    }
}

/// Nothing here has a failure mode: a test that loses the instance has failed.
#[track_caller]
fn whole(called: Result<(), Lost>) {
    if let Err(lost) = called {
        panic!("the policy was lost: {lost:?}");
    }
}

#[cfg(test)]
mod tests;
