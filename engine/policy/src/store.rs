//! What a policy keeps: a small key-value store, one a policy and VM, shared by its instances and
//! kept over traps and swaps, so that whoever makes a policy trap does not get a fresh start.
//!
//! Each operation is atomic: it takes the one lock, does its work and lets go; nothing else runs
//! under it. What a policy can put in is bounded.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use oriel_protocol::{
    Handle, Refusal, Request,
    commands::service::{
        StoreAdd, StoreCompareAndSwap, StoreGet, StoreKeys, StoreRemove, StoreSet,
    },
};

/// The most keys, where nobody says less.
pub const KEYS_MAX: usize = 1024;
/// The most bytes of a key.
pub const KEY_MAX: usize = 256;
/// The most bytes of a value.
pub const VALUE_MAX: usize = 64 << 10;
/// The most bytes of all keys and values together, where nobody says less.
pub const TOTAL_MAX: usize = 1 << 20;

/// A policy's store. Whoever can see it can use it: `&Store` does the work of every store command.
#[derive(Debug, Default)]
pub struct Store(Mutex<Map>);

#[derive(Clone, Debug)]
struct Map {
    entries: BTreeMap<String, Vec<u8>>,
    /// Bytes of all keys and values.
    total: usize,
    /// The most of both.
    keys_max: usize,
    total_max: usize,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            total: 0,
            keys_max: KEYS_MAX,
            total_max: TOTAL_MAX,
        }
    }
}

impl Store {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another one with the same in it, which goes its own way.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    /// From now on it takes so many keys, and so many bytes of keys and values. What is in it stays,
    /// even if that is more.
    pub fn bound(&self, keys: usize, bytes: usize) {
        let mut map = self.lock();
        (map.keys_max, map.total_max) = (keys, bytes);
    }

    /// Does one command.
    ///
    /// # Errors
    /// [`Refusal::Limit`] where it would grow too large, [`Refusal::Invalid`] where a number is
    /// added to what is none.
    pub fn apply<R: Request>(&self, request: R) -> Result<R::Reply, Refusal>
    where
        for<'a> &'a Self: Handle<R>,
    {
        let mut store = self;
        store.handle(request)
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        // No operation leaves a half-done map behind, even if it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    fn get(&self, key: &str) -> Option<&Vec<u8>> {
        self.entries.get(key)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        let old = self.get(&key).map(|old| key.len() + old.len());
        let new = key.len() + value.len();
        let total = self.total - old.unwrap_or(0) + new;
        if key.len() > KEY_MAX || value.len() > VALUE_MAX {
            return Err(Refusal::Limit);
        }
        // What was there under a larger bound can still be replaced by less.
        let is_more = old.is_none_or(|old| new > old);
        let keys = self.entries.len() + usize::from(old.is_none());
        if is_more && (keys > self.keys_max || total > self.total_max) {
            return Err(Refusal::Limit);
        }
        self.total = total;
        self.entries.insert(key, value);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some((key, value)) = self.entries.remove_entry(key) else {
            return false;
        };
        self.total -= key.len() + value.len();
        true
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let behind = self.entries.range::<str, _>(from).map(|(key, _)| key);
        behind
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }
}

impl Handle<StoreGet> for &Store {
    fn handle(&mut self, StoreGet { key }: StoreGet) -> Result<Option<Vec<u8>>, Refusal> {
        Ok(self.lock().get(&key).cloned())
    }
}

impl Handle<StoreSet> for &Store {
    fn handle(&mut self, StoreSet { key, value }: StoreSet) -> Result<(), Refusal> {
        self.lock().set(key, value)
    }
}

impl Handle<StoreRemove> for &Store {
    fn handle(&mut self, StoreRemove { key }: StoreRemove) -> Result<bool, Refusal> {
        Ok(self.lock().remove(&key))
    }
}

impl Handle<StoreKeys> for &Store {
    fn handle(&mut self, StoreKeys { prefix }: StoreKeys) -> Result<Vec<String>, Refusal> {
        Ok(self.lock().keys(&prefix))
    }
}

impl Handle<StoreAdd> for &Store {
    fn handle(&mut self, StoreAdd { key, delta }: StoreAdd) -> Result<u64, Refusal> {
        let mut map = self.lock();
        let old = map.get(&key).map_or(Ok(0), |bytes| number(bytes))?;
        let sum = old.wrapping_add(delta);
        map.set(key, sum.to_le_bytes().to_vec())?;
        Ok(sum)
    }
}

impl Handle<StoreCompareAndSwap> for &Store {
    fn handle(&mut self, swap: StoreCompareAndSwap) -> Result<Option<Vec<u8>>, Refusal> {
        let StoreCompareAndSwap { key, expected, new } = swap;
        let mut map = self.lock();
        let found = map.get(&key).cloned();
        if found == expected {
            map.set(key, new)?;
        }
        Ok(found)
    }
}

/// Eight bytes, little-endian.
fn number(bytes: &[u8]) -> Result<u64, Refusal> {
    let bytes = bytes.try_into().map_err(|_| Refusal::Invalid)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
