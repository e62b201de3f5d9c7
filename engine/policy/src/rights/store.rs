//! The policy's key-value store. Numbers are eight bytes, little-endian.

use oriel_protocol::{
    self as table,
    commands::service::{
        StoreAdd, StoreCompareAndSwap, StoreGet, StoreKeys, StoreRemove, StoreSet,
    },
};

use crate::{
    bindings::oriel::introspection::{store::Host, types::Refusal},
    state::State,
};

impl Host for State {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        let value = self.service(StoreGet { key })?;
        self.fits(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Refusal> {
        Ok(self.service(StoreSet { key, value })?)
    }

    fn remove(&mut self, key: String) -> Result<bool, Refusal> {
        Ok(self.service(StoreRemove { key })?)
    }

    fn keys(&mut self, prefix: String) -> Result<Vec<String>, Refusal> {
        let keys = self.service(StoreKeys { prefix })?;
        self.fits(keys.iter().map(String::len).sum())?;
        Ok(keys)
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let found = self.service(StoreCompareAndSwap { key, expected, new })?;
        self.fits(found.as_ref().map_or(0, Vec::len))?;
        Ok(found)
    }

    fn get_number(&mut self, key: String) -> Result<Option<u64>, Refusal> {
        Ok(number(self.service(StoreGet { key })?)?)
    }

    fn set_number(&mut self, key: String, value: u64) -> Result<(), Refusal> {
        let value = bytes(value);
        Ok(self.service(StoreSet { key, value })?)
    }

    fn add(&mut self, key: String, delta: u64) -> Result<u64, Refusal> {
        Ok(self.service(StoreAdd { key, delta })?)
    }

    fn compare_and_swap_number(
        &mut self,
        key: String,
        expected: Option<u64>,
        new: u64,
    ) -> Result<Option<u64>, Refusal> {
        let (expected, new) = (expected.map(bytes), bytes(new));
        Ok(number(self.service(StoreCompareAndSwap {
            key,
            expected,
            new,
        })?)?)
    }
}

fn bytes(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn number(value: Option<Vec<u8>>) -> Result<Option<u64>, table::Refusal> {
    let number = |bytes: Vec<u8>| bytes.try_into().map(u64::from_le_bytes);
    value
        .map(number)
        .transpose()
        .map_err(|_| table::Refusal::Invalid)
}
