//! What a policy keeps over traps and swaps.

use bincode::{Decode, Encode};

use crate::bindings::rights::oriel::introspection::store as wit;
use crate::state::Saved;
use crate::{Engine, Refusal};

/// The right to a small key-value store: one for the policy and the VM, shared by all instances
/// of the policy, kept when an instance traps and when a revision is swapped. Each function is
/// atomic. A number is eight bytes, little-endian.
///
/// Whatever an attacker must not be able to make a policy forget lives here: who can force a
/// trap gets a fresh instance, but no fresh store.
///
/// ```
/// use oriel_sdk::{Store, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.set_number("seen", 1)?;
/// assert_eq!(host.add_number("seen", 2), Ok(3));
/// assert_eq!(host.get_number("seen"), Ok(Some(3)));
/// assert_eq!(host.compare_and_swap_number("seen", Some(3), 9), Ok(Some(3)));
/// host.set_bytes("name", b"init")?;
/// assert_eq!(host.get_bytes("name")?.as_deref(), Some(&b"init"[..]));
/// assert_eq!(host.compare_and_swap_bytes("name", None, b"bash")?.as_deref(), Some(&b"init"[..]));
/// assert_eq!(host.keys("")?, ["name", "seen"]);
/// assert_eq!(host.remove_key("name"), Ok(true));
/// # Ok::<(), oriel_sdk::Refusal>(())
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

    /// The first number that was ever kept under this key: `value` itself, if there was none. Of two
    /// vCPUs only one is first.
    ///
    /// ```
    /// use oriel_sdk::{Store, testing::MockEngine};
    ///
    /// let mut host = MockEngine::default();
    /// assert_eq!(host.first_number("lstar", 7), Ok(7));
    /// assert_eq!(host.first_number("lstar", 8), Ok(7));
    /// ```
    fn first_number(&mut self, key: &str, value: u64) -> Result<u64, Refusal> {
        let found = self.compare_and_swap_number(key, None, value)?;
        Ok(found.unwrap_or(value))
    }

    /// Keeps a value of the policy's own under a key, as bytes
    /// ([`Saved::encode`](crate::state::Saved::encode) says of which types).
    ///
    /// ```
    /// use oriel_sdk::{Store, testing::MockEngine};
    ///
    /// let mut host = MockEngine::default();
    /// host.set_value("modules", &vec!["ext4", "vfat"])?;
    /// assert_eq!(host.get_value("modules")?, Some(vec!["ext4".to_owned(), "vfat".to_owned()]));
    /// assert_eq!(host.get_value::<u64>("absent")?, None);
    /// # Ok::<(), oriel_sdk::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// As all functions; `invalid`, if it cannot be written down.
    fn set_value(&mut self, key: &str, value: &impl Encode) -> Result<(), Refusal> {
        let saved = Saved::encode(0, value).map_err(|_| Refusal::Invalid)?;
        self.set_bytes(key, &saved.data)
    }

    /// What was kept by [`set_value`](Self::set_value).
    ///
    /// # Errors
    /// As all functions; `invalid`, if the bytes there are no such value.
    fn get_value<T: Decode<()>>(&mut self, key: &str) -> Result<Option<T>, Refusal> {
        let Some(data) = self.get_bytes(key)? else {
            return Ok(None);
        };
        let saved = Saved { schema: 0, data };
        let value = saved.decode(0).map_err(|_| Refusal::Invalid)?;
        Ok(Some(value))
    }
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
