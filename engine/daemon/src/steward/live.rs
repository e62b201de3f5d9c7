//! The policies of a VM that really runs: made here, moved by the engine's roster.

use std::sync::Arc;

use oriel_engine::{
    Roster,
    roster::{OnChange, Past, Posted, RosterError, SwapOptions, Swapped},
};
use oriel_machine::Machine;
use oriel_policy::{Host, Policy, Store};

use super::{ChangeError, Policies};
use crate::{load, plan::PolicyPlan};

/// The policies of a VM that runs.
pub(crate) struct Live {
    pub(crate) host: Arc<Host>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) roster: Roster,
}

impl Live {
    fn prepare(&self, plan: &PolicyPlan, code: &[u8]) -> Result<Arc<Policy>, ChangeError> {
        let policy = load::policy(&self.host, plan, code, &*self.machine);
        policy.map(Arc::new).map_err(ChangeError::Refused)
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
        let policy = self.prepare(plan, code)?;
        Ok(self.roster.load(policy, Arc::new(Store::default()))?)
    }

    fn swap(
        &self,
        plan: &PolicyPlan,
        code: &[u8],
        how: &SwapOptions,
    ) -> Result<Swapped, ChangeError> {
        let policy = self.prepare(plan, code)?;
        Ok(self.roster.swap(policy, how)?)
    }

    fn unload(&self, name: &str) -> Result<(), RosterError> {
        self.roster.unload(name)
    }

    fn rollback(&self, name: &str, to: Option<u64>) -> Result<Swapped, RosterError> {
        self.roster.rollback(name, to)
    }

    fn release(&self, name: &str) -> Result<(), RosterError> {
        self.roster.release(name)
    }
}
