//! What the operator was told already, so that he is told of each thing once. Kept in the store: whoever
//! makes an instance trap makes nobody hear of it again. Says nothing itself.

use std::collections::BTreeMap;

use oriel_sdk::{Refusal, Store};

/// Where it is kept.
const KEY: &str = "told";
/// The most things that are remembered.
const MOST: usize = 1500;

/// By its name, what each thing was like when it was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    marks: BTreeMap<String, u64>,
    unkept: bool,
}

impl Told {
    /// As it was kept.
    pub(crate) fn kept(host: &mut impl Store) -> Result<Self, Refusal> {
        let marks = host.get_value(KEY)?.unwrap_or_default();
        let unkept = false;
        Ok(Self { marks, unkept })
    }

    /// Whether this was not told yet; from now on it was.
    pub(crate) fn is_news(&mut self, name: &str, mark: u64) -> bool {
        if self.knows(name, mark) {
            return false;
        }
        if self.marks.len() < MOST || self.marks.contains_key(name) {
            self.marks.insert(name.to_owned(), mark);
            self.unkept = true;
        }
        true
    }

    /// Whether this was told, as it is.
    pub(crate) fn knows(&self, name: &str, mark: u64) -> bool {
        self.marks.get(name) == Some(&mark)
    }

    /// It is as it has to be again; whether it was told that it was not.
    pub(crate) fn is_over(&mut self, name: &str) -> bool {
        let was_told = self.marks.remove(name).is_some();
        self.unkept |= was_told;
        was_told
    }

    /// Keeps what has changed.
    pub(crate) fn keep(&mut self, host: &mut impl Store) -> Result<(), Refusal> {
        if self.unkept {
            host.set_value(KEY, &self.marks)?;
            self.unkept = false;
        }
        Ok(())
    }
}
