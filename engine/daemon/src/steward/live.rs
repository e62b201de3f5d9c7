//! The policies of a VM that really runs: made here, moved by the engine's roster.

use std::{sync::Arc, time::Duration};

use oriel_engine::{
    Candidate, FailureReport, Roster, VmHandle,
    audit::{Orderer, Verb},
    roster::{OnChange, Past, Posted, RosterError, SwapOptions, Swapped},
};
use oriel_guest::{Guest, Sight, Unknown};
use oriel_machine::Machine;
use oriel_policy::Host;
use serde_json::Value as Json;

use super::{ChangeError, Policies};
use crate::{
    linux::{self, Question},
    load,
    plan::PolicyPlan,
};

/// How long a vCPU may take to say what it shows; one that takes longer is left out.
const VCPU_LIMIT: Duration = Duration::from_secs(1);

/// The policies of a VM that runs.
pub(crate) struct Live {
    pub(crate) host: Arc<Host>,
    pub(crate) machine: Arc<dyn Machine>,
    pub(crate) roster: Roster,
    pub(crate) vm: VmHandle,
}

impl Live {
    fn candidate(
        &self,
        (by, verb): (&Orderer, Verb),
        plan: &PolicyPlan,
        code: &[u8],
    ) -> Result<Candidate, ChangeError> {
        let made = load::judge(&self.host, plan, code, &*self.machine);
        let made = made.map_err(ChangeError::Refused);
        made.inspect_err(|error| self.declined(by, (verb, &plan.name), &error.in_full()))
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

    fn load(&self, by: &Orderer, plan: &PolicyPlan, code: &[u8]) -> Result<Posted, ChangeError> {
        let candidate = self.candidate((by, Verb::Load), plan, code)?;
        Ok(self.roster.ordered_by(by.clone()).load(candidate)?)
    }

    fn swap(
        &self,
        by: &Orderer,
        plan: &PolicyPlan,
        (code, how): (&[u8], &SwapOptions),
    ) -> Result<Swapped, ChangeError> {
        let candidate = self.candidate((by, Verb::Swap), plan, code)?;
        Ok(self.roster.ordered_by(by.clone()).swap(candidate, how)?)
    }

    fn unload(&self, by: &Orderer, name: &str) -> Result<(), RosterError> {
        self.roster.ordered_by(by.clone()).unload(name)
    }

    fn rollback(&self, by: &Orderer, name: &str, to: Option<u64>) -> Result<Swapped, RosterError> {
        self.roster.ordered_by(by.clone()).rollback(name, to)
    }

    fn release(&self, by: &Orderer, name: &str) -> Result<(), RosterError> {
        self.roster.ordered_by(by.clone()).release(name)
    }

    fn ask_guest(&self, question: &Question) -> Result<Json, Unknown> {
        let answer = |guest: &Guest<'_>, sights: &[Sight]| linux::answer(question, guest, sights);
        self.vm.ask_guest(VCPU_LIMIT, answer)
    }

    fn declined(&self, by: &Orderer, (verb, name): (Verb, &str), reason: &str) {
        let roster = self.roster.ordered_by(by.clone());
        roster.declined(verb, name, reason);
    }
}
