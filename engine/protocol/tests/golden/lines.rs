//! The lines of one golden file.

use std::{collections::BTreeMap, fs};

use oriel_protocol::Dialect;

/// The lines of one dialect's file.
pub(crate) struct Lines {
    dialect: Dialect,
    /// By kind and name.
    messages: BTreeMap<(String, String), Vec<u8>>,
}

impl Lines {
    pub(crate) fn of(dialect: Dialect) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/kvmi");
        let path = format!("{folder}/{}.txt", dialect.name());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut messages = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let [kind, name, hex] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{path}: {line}");
            };
            let before = messages.insert((kind.to_owned(), name.to_owned()), bytes(hex));
            assert_eq!(before, None, "{path} has {kind} {name} twice");
        }
        Self { dialect, messages }
    }

    /// The bytes of this line, which must be there.
    pub(crate) fn take(&self, kind: &str, name: &str) -> Vec<u8> {
        let found = self.messages.get(&(kind.to_owned(), name.to_owned()));
        found
            .unwrap_or_else(|| panic!("{} has no line for {kind} {name}", self.dialect.name()))
            .clone()
    }

    /// Fails if there is a line of this name.
    pub(crate) fn has_none(&self, name: &str) {
        let found = self.messages.keys().find(|(_, other)| other == name);
        assert_eq!(found, None, "{}", self.dialect.name());
    }

    /// Kind and name of each line, in order.
    pub(crate) fn names(&self) -> Vec<(&str, &str)> {
        let names = self.messages.keys();
        names
            .map(|(kind, name)| (kind.as_str(), name.as_str()))
            .collect()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    assert_eq!(digits.remainder(), b"");
    let byte = |pair| {
        let digits = str::from_utf8(pair).expect("ASCII");
        u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
    };
    digits.map(byte).collect()
}
