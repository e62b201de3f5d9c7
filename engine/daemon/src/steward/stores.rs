//! What policies remember, over their revisions: one store a policy and store schema. A revision of
//! the same schema gets the store as it is; one of another gets an empty one, and the old is kept
//! for a rollback. It never looks into a store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context;
use oriel_policy::{Store, inspect};

/// The stores of a VM's policies, by name and schema.
#[derive(Default)]
pub(crate) struct Stores(Mutex<BTreeMap<(String, u32), Arc<Store>>>);

/// A store for a revision that is not in force yet.
pub(crate) struct Lent {
    pub(crate) store: Arc<Store>,
    key: (String, u32),
}

impl Stores {
    /// The store for this code under this name.
    pub(crate) fn lend(&self, name: &str, code: &[u8]) -> anyhow::Result<Lent> {
        let inspection = inspect(code).context("its code cannot be read")?;
        let key = (name.to_owned(), inspection.manifest.store_schema.0);
        let store = self.lock().get(&key).cloned().unwrap_or_default();
        Ok(Lent { store, key })
    }

    /// The revision that it was lent to is in force.
    pub(crate) fn keep(&self, lent: Lent) {
        self.lock().insert(lent.key, lent.store);
    }

    /// The policy is gone, and what it remembered with it.
    pub(crate) fn forget(&self, name: &str) {
        self.lock().retain(|(known, _), _| known != name);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, u32), Arc<Store>>> {
        // Nothing is half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lent(stores: &Stores, name: &str, schema: u32) -> Lent {
        let key = (name.to_owned(), schema);
        let store = stores.lock().get(&key).cloned().unwrap_or_default();
        Lent { store, key }
    }

    #[test]
    fn a_store_outlives_revisions_of_its_schema_and_goes_with_its_policy() {
        let stores = Stores::default();
        let first = lent(&stores, "guard", 1);
        let store = first.store.clone();
        let is = |other: &Lent| Arc::ptr_eq(&store, &other.store);
        assert!(
            !is(&lent(&stores, "guard", 1)),
            "of one that never was in force"
        );
        stores.keep(first);
        assert!(is(&lent(&stores, "guard", 1)));
        assert!(!is(&lent(&stores, "guard", 2)) && !is(&lent(&stores, "other", 1)));
        stores.forget("guard");
        assert!(!is(&lent(&stores, "guard", 1)));
    }
}
