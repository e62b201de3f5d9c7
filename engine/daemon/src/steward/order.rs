//! Orders, by whoever gives them: each is carried out, or refused and written into the audit trail as
//! such. What is known of the policies is the steward's.

use oriel_engine::{
    audit::{Orderer, Verb},
    roster::{Posted, RosterError, SwapOptions, Swapped},
};

use super::{Change, ChangeError, Entry, Gone, Steward, plan};

/// What one orderer orders.
pub(crate) struct Orders<'a> {
    steward: &'a Steward,
    by: Orderer,
}

impl Steward {
    /// Takes orders of this one.
    pub(crate) const fn ordered_by(&self, by: Orderer) -> Orders<'_> {
        Orders { steward: self, by }
    }
}

impl Orders<'_> {
    /// Loads a policy.
    pub(crate) fn load(&self, entry: Entry) -> Result<Change<Posted>, ChangeError> {
        let name = entry.name().to_owned();
        let no = |error| self.declined(Verb::Load, &name, error);
        let plan = plan(&entry).map_err(no)?;
        let code = entry.code.clone();
        let book = &self.steward.book;
        let _draft = book
            .draft(&plan.name, entry)
            .map_err(|error| no(error.into()))?;
        let made = self.steward.policies.load(&self.by, &plan, &code)?;
        Ok(self.steward.change(made))
    }

    /// Swaps a policy.
    pub(crate) fn swap(
        &self,
        entry: Entry,
        how: &SwapOptions,
    ) -> Result<Change<Swapped>, ChangeError> {
        let steward = self.steward;
        let name = entry.name().to_owned();
        let no = |error| self.declined(Verb::Swap, &name, error);
        let plan = plan(&entry).map_err(no)?;
        // Nothing of it is looked at for a policy that is not there.
        let there = steward.get(&plan.name);
        there.map_err(|error| no(error.into()))?;
        let code = entry.code.clone();
        let draft = steward.book.draft(&plan.name, entry);
        let _draft = draft.map_err(|error| no(error.into()))?;
        let made = steward.policies.swap(&self.by, &plan, (&code, how))?;
        steward.forget_old(&plan.name);
        Ok(steward.change(made))
    }

    /// Takes a policy away.
    pub(crate) fn unload(&self, name: &str) -> Result<Change<Gone>, RosterError> {
        self.steward.policies.unload(&self.by, name)?;
        let name = name.to_owned();
        Ok(self.steward.change(Gone { name }))
    }

    /// Puts an earlier revision back.
    pub(crate) fn rollback(
        &self,
        name: &str,
        to: Option<u64>,
    ) -> Result<Change<Swapped>, RosterError> {
        let made = self.steward.policies.rollback(&self.by, name, to)?;
        Ok(self.steward.change(made))
    }

    /// Ends a quarantine.
    pub(crate) fn release(&self, name: &str) -> Result<Change<Posted>, RosterError> {
        self.steward.policies.release(&self.by, name)?;
        let posted = self.steward.get(name)?;
        Ok(self.steward.change(posted))
    }

    /// The same error, written down: it does not come as far as the engine.
    fn declined(&self, verb: Verb, name: &str, error: ChangeError) -> ChangeError {
        let reason = error.in_full();
        let policies = &self.steward.policies;
        policies.declined(&self.by, (verb, name), &reason);
        error
    }
}
