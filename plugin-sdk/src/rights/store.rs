//! What a policy keeps over traps and swaps.

use crate::bindings::rights::oriel::introspection::store as wit;
use crate::{Engine, Refusal};

/// The right to a small key-value store: one for the policy and the VM, shared by all instances
/// of the policy, kept when an instance traps and when a revision is swapped. Each function is
/// atomic. A number is eight bytes, little-endian.
///
/// Whatever an attacker must not be able to make a policy forget lives here: who can force a
/// trap gets a fresh instance, but no fresh store.
///
/// ```
/// use oriel_sdk::{Refusal, Store};
///
/// /// The first value that was ever seen under this name.
/// fn first(host: &mut impl Store, name: &str, value: u64) -> Result<u64, Refusal> {
///     let found = host.compare_and_swap_number(name, None, value)?;
///     Ok(found.unwrap_or(value))
/// }
/// ```
///
/// # Errors
/// All functions: denied; `invalid`, if the key is too long or a number's value is not eight
/// bytes; `limit`, if the store is full.
pub trait Store {
    /// The value of a key.
    fn get_bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal>;
    /// Gives a key a value.
    fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), Refusal>;
    /// Stores `new` if the value is `expected` (`None`: no such key), and answers with the value
    /// found before.
    fn compare_and_swap_bytes(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal>;
    /// The number of a key.
    fn get_number(&mut self, key: &str) -> Result<Option<u64>, Refusal>;
    /// Gives a key a number.
    fn set_number(&mut self, key: &str, value: u64) -> Result<(), Refusal>;
    /// Adds, wrapping, to a number (no such key counts as 0), and answers with the sum.
    fn add_number(&mut self, key: &str, delta: u64) -> Result<u64, Refusal>;
    /// As [`compare_and_swap_bytes`](Self::compare_and_swap_bytes), for a number.
    fn compare_and_swap_number(
        &mut self,
        key: &str,
        expected: Option<u64>,
        new: u64,
    ) -> Result<Option<u64>, Refusal>;
    /// Removes a key, and says whether there was one.
    fn remove_key(&mut self, key: &str) -> Result<bool, Refusal>;
    /// The keys that begin with `prefix`, in order.
    fn keys(&mut self, prefix: &str) -> Result<Vec<String>, Refusal>;
}

impl Store for Engine {
    fn get_bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        wit::get(key)
    }

    fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        wit::set(key, value)
    }

    fn compare_and_swap_bytes(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal> {
        wit::compare_and_swap(key, expected, new)
    }

    fn get_number(&mut self, key: &str) -> Result<Option<u64>, Refusal> {
        wit::get_number(key)
    }

    fn set_number(&mut self, key: &str, value: u64) -> Result<(), Refusal> {
        wit::set_number(key, value)
    }

    fn add_number(&mut self, key: &str, delta: u64) -> Result<u64, Refusal> {
        wit::add(key, delta)
    }

    fn compare_and_swap_number(
        &mut self,
        key: &str,
        expected: Option<u64>,
        new: u64,
    ) -> Result<Option<u64>, Refusal> {
        wit::compare_and_swap_number(key, expected, new)
    }

    fn remove_key(&mut self, key: &str) -> Result<bool, Refusal> {
        wit::remove(key)
    }

    fn keys(&mut self, prefix: &str) -> Result<Vec<String>, Refusal> {
        wit::keys(prefix)
    }
}
