//! What a policy hears besides events to judge: swaps, the clock, notices, what it observes.

use super::Bench;
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
        let saved = self.call(vcpu, |policy, engine| policy.save(engine))?;
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
            self.deliver(at, |policy, at, engine| policy.observe(at, seen, engine));
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
        self.deliver(at, |policy, at, engine| policy.created(at, engine));
    }

    /// Says that this vCPU was paused.
    #[track_caller]
    pub fn pause(&mut self, vcpu: u32)
    where
        P: Pause,
    {
        let at = self.moment(vcpu, Verdicts::empty());
        self.deliver(at, |policy, at, engine| policy.paused(at, engine));
    }

    /// Says that introspection is about to end, to the instance of this vCPU.
    #[track_caller]
    pub fn unhook(&mut self, vcpu: u32)
    where
        P: Unhook,
    {
        self.call(vcpu, |policy, engine| policy.unhooking(engine));
    }
}

#[cfg(test)]
mod tests;
