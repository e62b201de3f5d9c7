//! The policies of a running VM in the operator's hands: whoever gives orders (the control socket,
//! the watched directory) gives them here. It knows what was said of each revision, and has the set
//! in force kept. It never judges, and how policies are moved is the engine's.

mod book;
mod explain;
#[cfg(test)]
pub(crate) mod fake;
mod live;
mod order;

use std::sync::Arc;

use oriel_engine::{
    FailureReport,
    audit::{Orderer, Verb},
    roster::{OnChange, Past, Posted, RosterError, SwapOptions, Swapped},
};
use oriel_guest::Unknown;
use oriel_machine::Machine;
use serde::Serialize;
use serde_json::Value as Json;
use thiserror::Error;

use crate::{
    config::PolicyConfig,
    linux::Question,
    plan::PolicyPlan,
    state::{Committed, StateDirectory},
};

use book::Book;
pub(crate) use book::{Entry, Member, read_component};
pub(crate) use explain::Explanation;
pub(crate) use live::Live;
pub(crate) use order::Orders;

/// The policies that a steward looks after: a running VM's, or what a test puts in their place.
pub(crate) trait Policies: Send + Sync {
    /// Has somebody told after every change, before whoever asked for it is answered.
    fn on_change(&self, told: OnChange);
    /// Those in force, in order.
    fn list(&self) -> Vec<Posted>;
    /// The revisions of one.
    fn history(&self, name: &str) -> Result<Vec<Past>, RosterError>;
    /// The last failures of a policy, the oldest first.
    fn failures(&self, name: &str) -> Result<Vec<FailureReport>, RosterError>;
    /// Makes a policy of this code, and loads it.
    fn load(&self, by: &Orderer, plan: &PolicyPlan, code: &[u8]) -> Result<Posted, ChangeError>;
    /// Makes a policy of this code, and puts it in the place of that of its name.
    fn swap(
        &self,
        by: &Orderer,
        plan: &PolicyPlan,
        next: (&[u8], &SwapOptions),
    ) -> Result<Swapped, ChangeError>;
    /// Takes one away.
    fn unload(&self, by: &Orderer, name: &str) -> Result<(), RosterError>;
    /// Puts an earlier revision back.
    fn rollback(&self, by: &Orderer, name: &str, to: Option<u64>) -> Result<Swapped, RosterError>;
    /// Ends a quarantine.
    fn release(&self, by: &Orderer, name: &str) -> Result<(), RosterError>;
    /// Asks the guest that they judge.
    fn ask_guest(&self, question: &Question) -> Result<Json, Unknown>;
    /// Writes down an order that is refused for this reason before it is given.
    fn declined(&self, by: &Orderer, order: (Verb, &str), reason: &str);
}

/// Why a change was not made. What judged before still does.
#[derive(Debug, Error)]
pub(crate) enum ChangeError {
    /// What was said or sent cannot be made a policy.
    #[error("it is not accepted")]
    Refused(#[source] anyhow::Error),
    /// The engine did not make it.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

impl ChangeError {
    /// With its causes.
    fn in_full(&self) -> String {
        match self {
            Self::Refused(error) => format!("{error:#}"),
            Self::Roster(error) => error.to_string(),
        }
    }
}

/// A change that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Change<T> {
    /// What was changed.
    #[serde(flatten)]
    pub(crate) made: T,
    /// Whether the set now in force will be there after a crash; none: nobody asked for that.
    pub(crate) kept: Option<bool>,
    /// Why it will not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

/// Looks after the policies of a running VM.
pub(crate) struct Steward {
    policies: Box<dyn Policies>,
    machine: Arc<dyn Machine>,
    book: Arc<Book>,
}

impl Steward {
    /// Takes over a VM that runs with these policies, and has them kept.
    pub(crate) fn take_over(
        policies: Box<dyn Policies>,
        machine: Arc<dyn Machine>,
        opening: Committed,
        state: Option<StateDirectory>,
    ) -> Self {
        let book = Arc::new(Book::open(opening, state));
        let told = book.clone();
        policies.on_change(Arc::new(move |posted| told.changed(posted)));
        Self {
            policies,
            machine,
            book,
        }
    }

    /// The machine.
    pub(crate) fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// Whether the set in force is kept; none: nobody asked for that. And why it is not.
    pub(crate) fn kept(&self) -> (Option<bool>, Option<String>) {
        self.book.kept()
    }

    /// The policies in force, in order.
    pub(crate) fn list(&self) -> Vec<Posted> {
        self.policies.list()
    }

    /// The policy of this name in force.
    pub(crate) fn get(&self, name: &str) -> Result<Posted, RosterError> {
        let mut all = self.policies.list().into_iter();
        let named = all.find(|posted| posted.name == name);
        named.ok_or_else(|| RosterError::Unknown(name.to_owned()))
    }

    /// What was said of a revision, and its code.
    pub(crate) fn entry(&self, posted: &Posted) -> Option<Entry> {
        self.book.find(&posted.name, posted.revision)
    }

    /// The revisions of a policy, the newest last.
    pub(crate) fn history(&self, name: &str) -> Result<Vec<Past>, RosterError> {
        self.policies.history(name)
    }

    /// The last failures of a policy, the oldest first.
    pub(crate) fn failures(&self, name: &str) -> Result<Vec<FailureReport>, RosterError> {
        self.policies.failures(name)
    }

    /// What a policy may see and do.
    pub(crate) fn explain(&self, name: &str) -> Result<Explanation, ChangeError> {
        let posted = self.get(name)?;
        let entry = self.entry(&posted);
        let entry = entry.ok_or_else(|| RosterError::Unknown(name.to_owned()))?;
        Explanation::of(&posted, &entry, self.machine()).map_err(ChangeError::Refused)
    }

    /// Asks the guest what it is and does.
    pub(crate) fn ask_guest(&self, question: &Question) -> Result<Json, Unknown> {
        self.policies.ask_guest(question)
    }

    /// What the engine has forgotten cannot be rolled back to.
    fn forget_old(&self, name: &str) {
        let known = self.policies.history(name).unwrap_or_default();
        let oldest = known.iter().map(|past| past.revision).min();
        self.book.forget_before(name, oldest.unwrap_or(0));
    }

    fn change<T>(&self, made: T) -> Change<T> {
        let (kept, warning) = self.kept();
        Change {
            made,
            kept,
            warning,
        }
    }
}

/// A policy that is not there any more.
#[derive(Debug, Serialize)]
pub(crate) struct Gone {
    name: String,
}

fn plan(entry: &Entry) -> Result<PolicyPlan, ChangeError> {
    PolicyPlan::configured(PolicyConfig::clone(&entry.said)).map_err(ChangeError::Refused)
}

/// A steward of policies that judge nothing, with the set kept in this directory.
#[cfg(test)]
pub(crate) fn for_tests(fake: fake::Fake, state: Option<&std::path::Path>) -> Steward {
    tests::steward(fake, state)
}

#[cfg(test)]
mod tests;
