//! The policies of a VM that really runs: made here, moved by the engine's roster.

use std::sync::Arc;

use oriel_engine::{
    Candidate, FailureReport, Roster,
    roster::{OnChange, Past, Posted, RosterError, SwapOptions, Swapped},
};
use oriel_machine::Machine;
use oriel_policy::Host;

use super::{ChangeError, Policies};
use crate::{load, plan::PolicyPlan};

/// The policies of a VM that runs.
pub(crate) struct Live {
    pub(crate) host: Arc<Host>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) roster: Roster,
}

impl Live {
    fn candidate(&self, plan: &PolicyPlan, code: &[u8]) -> Result<Candidate, ChangeError> {
        let made = load::judge(&self.host, plan, code, &*self.machine);
        made.map_err(ChangeError::Refused)
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

    fn failures(&self, name: &str) -> Result<Vec<FailureReport>, RosterError> {
        self.roster.failures(name)
    }

    fn load(&self, plan: &PolicyPlan, code: &[u8]) -> Result<Posted, ChangeError> {
        Ok(self.roster.load(self.candidate(plan, code)?)?)
    }

    fn swap(
        &self,
        plan: &PolicyPlan,
        code: &[u8],
        how: &SwapOptions,
    ) -> Result<Swapped, ChangeError> {
        Ok(self.roster.swap(self.candidate(plan, code)?, how)?)
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
