//! The policies of a VM that really runs: made here, moved by the engine's roster.

use std::sync::Arc;

use oriel_engine::{
    Candidate, Roster,
    roster::{OnChange, Past, Posted, RosterError, SwapOptions, Swapped},
};
use oriel_machine::Machine;
use oriel_policy::Host;

use super::{ChangeError, Policies, Stores, stores::Lent};
use crate::{load, plan::PolicyPlan};

/// The policies of a VM that runs.
pub(crate) struct Live {
    pub(crate) host: Arc<Host>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) roster: Roster,
    pub(crate) stores: Stores,
}

impl Live {
    /// Makes a revision, with the store that its predecessors have filled.
    fn candidate(&self, plan: &PolicyPlan, code: &[u8]) -> Result<(Candidate, Lent), ChangeError> {
        let lent = self.stores.lend(&plan.name, code);
        let lent = lent.map_err(ChangeError::Refused)?;
        let made = load::judge(&self.host, plan, code, &*self.machine);
        let candidate = Candidate {
            store: lent.store.clone(),
            ..made.map_err(ChangeError::Refused)?
        };
        Ok((candidate, lent))
    }
}

impl Policies for Live {
    fn on_change(&self, told: OnChange) {
        self.roster.on_change(told);
    }

    fn list(&self) -> Vec<Posted> {
        self.roster.list()
    }

    fn history(&self, name: &str) -> Result<Vec<Past>, RosterError> {
        self.roster.history(name)
    }

    fn load(&self, plan: &PolicyPlan, code: &[u8]) -> Result<Posted, ChangeError> {
        let (candidate, lent) = self.candidate(plan, code)?;
        let posted = self.roster.load(candidate)?;
        self.stores.keep(lent);
        Ok(posted)
    }

    fn swap(
        &self,
        plan: &PolicyPlan,
        code: &[u8],
        how: &SwapOptions,
    ) -> Result<Swapped, ChangeError> {
        let (candidate, lent) = self.candidate(plan, code)?;
        let swapped = self.roster.swap(candidate, how)?;
        self.stores.keep(lent);
        Ok(swapped)
    }

    fn unload(&self, name: &str) -> Result<(), RosterError> {
        self.roster.unload(name)?;
        self.stores.forget(name);
        Ok(())
    }

    fn rollback(&self, name: &str, to: Option<u64>) -> Result<Swapped, RosterError> {
        self.roster.rollback(name, to)
    }

    fn release(&self, name: &str) -> Result<(), RosterError> {
        self.roster.release(name)
    }
}
