//! The store, which outlives the instances, with the limits that the engine has where nobody says
//! less.

use super::{Command, MockEngine};
use crate::{Refusal, Store};

/// The most bytes of a key, and of a value.
const KEY: usize = 256;
const VALUE: usize = 64 << 10;
/// The most keys, and bytes of all keys and values.
const KEYS: usize = 1024;
const TOTAL: usize = 1 << 20;

impl Store for MockEngine {
    fn get_bytes(&mut self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        self.admit(Command::GetBytes)?;
        Ok(self.store.get(key).cloned())
    }

    fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        self.admit(Command::SetBytes)?;
        self.keep(key, value.to_vec())
    }

    fn compare_and_swap_bytes(
        &mut self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Option<Vec<u8>>, Refusal> {
        self.admit(Command::CompareAndSwapBytes)?;
        let found = self.store.get(key).cloned();
        if found.as_deref() == expected {
            self.keep(key, new.to_vec())?;
        }
        Ok(found)
    }

    fn get_number(&mut self, key: &str) -> Result<Option<u64>, Refusal> {
        self.admit(Command::GetNumber)?;
        self.number(key)
    }

    fn set_number(&mut self, key: &str, value: u64) -> Result<(), Refusal> {
        self.admit(Command::SetNumber)?;
        self.keep_number(key, value)
    }

    fn add_number(&mut self, key: &str, delta: u64) -> Result<u64, Refusal> {
        self.admit(Command::AddNumber)?;
        let sum = self.number(key)?.unwrap_or(0).wrapping_add(delta);
        self.keep_number(key, sum)?;
        Ok(sum)
    }

    fn compare_and_swap_number(
        &mut self,
        key: &str,
        expected: Option<u64>,
        new: u64,
    ) -> Result<Option<u64>, Refusal> {
        self.admit(Command::CompareAndSwapNumber)?;
        let found = self.number(key)?;
        if found == expected {
            self.keep_number(key, new)?;
        }
        Ok(found)
    }

    fn remove_key(&mut self, key: &str) -> Result<bool, Refusal> {
        self.admit(Command::RemoveKey)?;
        Ok(self.store.remove(key).is_some())
    }

    fn keys(&mut self, prefix: &str) -> Result<Vec<String>, Refusal> {
        self.admit(Command::Keys)?;
        let keys = self.store.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.cloned().collect())
    }
}

impl MockEngine {
    fn number(&self, key: &str) -> Result<Option<u64>, Refusal> {
        let Some(bytes) = self.store.get(key) else {
            return Ok(None);
        };
        let bytes = bytes.as_slice().try_into();
        Ok(Some(u64::from_le_bytes(
            bytes.map_err(|_| Refusal::Invalid)?,
        )))
    }

    fn keep_number(&mut self, key: &str, value: u64) -> Result<(), Refusal> {
        self.keep(key, value.to_le_bytes().into())
    }

    fn keep(&mut self, key: &str, value: Vec<u8>) -> Result<(), Refusal> {
        let old = self.store.get(key).map_or(0, |old| key.len() + old.len());
        let new = key.len() + value.len();
        let keys = self.store.len() + usize::from(!self.store.contains_key(key));
        let sizes = self
            .store
            .iter()
            .map(|(key, value)| key.len() + value.len());
        let total = sizes.sum::<usize>() - old + new;
        let fits = key.len() <= KEY && value.len() <= VALUE;
        if !fits || (new > old && (keys > KEYS || total > TOTAL)) {
            return Err(Refusal::Limit);
        }
        self.store.insert(key.to_owned(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_stores_only_over_what_was_expected_and_says_what_was_there() {
        let mut engine = MockEngine::default();
        assert_eq!(engine.compare_and_swap_number("a", None, 1), Ok(None));
        assert_eq!(engine.compare_and_swap_number("a", None, 2), Ok(Some(1)));
        assert_eq!(engine.get_number("a"), Ok(Some(1)));
        assert_eq!(engine.compare_and_swap_number("a", Some(1), 3), Ok(Some(1)));
        assert_eq!(
            engine.get_bytes("a"),
            Ok(Some(vec![3, 0, 0, 0, 0, 0, 0, 0]))
        );
    }

    #[test]
    fn what_is_too_large_is_a_limit_and_changes_nothing() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        engine.set_number("a", 1)?;
        assert_eq!(engine.set_bytes("a", &[0; VALUE + 1]), Err(Refusal::Limit));
        assert_eq!(engine.set_number(&"a".repeat(257), 1), Err(Refusal::Limit));
        for at in 1..16 {
            engine.set_bytes(&format!("b{at}"), &[0; VALUE])?;
        }
        assert_eq!(engine.set_bytes("c", &[0; VALUE]), Err(Refusal::Limit));
        assert_eq!(engine.get_number("a"), Ok(Some(1)));
        Ok(())
    }

    #[test]
    fn a_number_is_eight_bytes_and_no_others() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        engine.set_bytes("a", b"seven")?;
        assert_eq!(engine.add_number("a", 1), Err(Refusal::Invalid));
        assert_eq!(engine.get_bytes("a"), Ok(Some(b"seven".to_vec())));
        Ok(())
    }

    #[test]
    fn keys_come_in_order_and_by_prefix() -> Result<(), Refusal> {
        let mut engine = MockEngine::default();
        for key in ["pin/2", "efer", "pin/1"] {
            engine.set_number(key, 0)?;
        }
        assert_eq!(engine.keys("pin/")?, ["pin/1", "pin/2"]);
        assert_eq!(engine.remove_key("efer"), Ok(true));
        assert_eq!(engine.remove_key("efer"), Ok(false));
        Ok(())
    }
}
