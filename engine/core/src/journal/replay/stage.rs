//! The store of a policy while it is replayed: simulated in the order of the journal. Where a changed
//! policy has left what was recorded, what is simulated is what it is told.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oriel_policy::Store;
use oriel_protocol::{
    Refusal, ServiceCall,
    commands::{ServiceReply, service::StoreSet},
};

/// A simulated store.
#[derive(Default)]
pub(super) struct Stage {
    store: Store,
    /// Keys under which there is something else than there was.
    strayed: Mutex<BTreeSet<String>>,
}

/// What a store command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// It reads this key.
    Reads(String),
    /// It may write this key.
    Writes(String),
    /// It reads which keys there are.
    Lists,
}

/// What this command is about; none if it is none of the store's.
pub(super) fn about(call: &ServiceCall) -> Option<About> {
    Some(match call {
        ServiceCall::StoreGet(get) => About::Reads(get.key.clone()),
        ServiceCall::StoreSet(set) => About::Writes(set.key.clone()),
        ServiceCall::StoreRemove(remove) => About::Writes(remove.key.clone()),
        ServiceCall::StoreAdd(add) => About::Writes(add.key.clone()),
        ServiceCall::StoreCompareAndSwap(swap) => About::Writes(swap.key.clone()),
        ServiceCall::StoreKeys(_) => About::Lists,
        ServiceCall::RaiseAlert(_) | ServiceCall::WriteLog(_) | ServiceCall::RecordMetric(_) => {
            return None;
        }
    })
}

impl Stage {
    /// With these bounds.
    pub(super) fn bounded(keys: usize, bytes: usize) -> Self {
        let stage = Self::default();
        stage.store.bound(keys, bytes);
        stage
    }

    /// Does a command of the store.
    pub(super) fn run(&self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        let store = &self.store;
        match call {
            ServiceCall::StoreGet(get) => store.apply(get).map(ServiceReply::StoreGet),
            ServiceCall::StoreSet(set) => store.apply(set).map(ServiceReply::StoreSet),
            ServiceCall::StoreRemove(remove) => store.apply(remove).map(ServiceReply::StoreRemove),
            ServiceCall::StoreAdd(add) => store.apply(add).map(ServiceReply::StoreAdd),
            ServiceCall::StoreKeys(keys) => store.apply(keys).map(ServiceReply::StoreKeys),
            ServiceCall::StoreCompareAndSwap(swap) => {
                store.apply(swap).map(ServiceReply::StoreCompareAndSwap)
            }
            ServiceCall::RaiseAlert(_)
            | ServiceCall::WriteLog(_)
            | ServiceCall::RecordMetric(_) => Err(Refusal::Unsupported),
        }
    }

    /// What was recorded of a key that it has not strayed from tells what was there before.
    pub(super) fn learn(&self, call: &ServiceCall, answer: &Result<ServiceReply, Refusal>) {
        let found = match (call, answer) {
            (ServiceCall::StoreGet(get), Ok(ServiceReply::StoreGet(Some(found)))) => {
                Some((get.key.clone(), found.clone()))
            }
            (ServiceCall::StoreAdd(add), Ok(ServiceReply::StoreAdd(sum))) => {
                Some((add.key.clone(), sum.to_le_bytes().to_vec()))
            }
            _ => None,
        };
        match found {
            Some((key, value)) => drop(self.store.apply(StoreSet { key, value })),
            // Whatever it says, it has been done.
            None => drop(self.run(call.clone())),
        }
    }

    /// Whether what is recorded of this is not what it is told.
    pub(super) fn has_strayed(&self, about: &About) -> bool {
        match about {
            About::Reads(key) | About::Writes(key) => self.strayed().contains(key),
            About::Lists => !self.strayed().is_empty(),
        }
    }

    /// A command was made that was not made then, or the other way round.
    pub(super) fn stray(&self, about: About) {
        if let About::Writes(key) = about {
            self.strayed().insert(key);
        }
    }

    fn strayed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.strayed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
