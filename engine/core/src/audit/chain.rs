//! The chain: each line ends with a hash over the hash of the line before it and its own text.
//! Owns how lines follow from each other; never what they say.

use std::io::{self, Write};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::line::Fields;

/// What links a line to the one before it, in hexadecimal: 64 digits.
pub(super) type Hash = String;

/// What comes before the first line.
pub(super) fn nothing() -> Hash {
    "0".repeat(64)
}

/// The hash of a line with this text behind a line with that hash.
pub(super) fn link(before: &str, text: &str) -> Hash {
    let mut digest = Sha256::new();
    digest.update(before.as_bytes());
    digest.update(text.as_bytes());
    let hash = digest.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Splits a line into its text and its hash; none if it has no hash.
pub(super) fn split(line: &str) -> Option<(String, &str)> {
    let (text, hash) = line.strip_suffix("\"}")?.rsplit_once(",\"hash\":\"")?;
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| (format!("{text}}}"), hash))
}

/// Lines that are being written.
pub(super) struct Chain<W> {
    to: W,
    last: Hash,
    lines: u64,
}

impl<W: Write> Chain<W> {
    /// A chain without a line.
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            last: nothing(),
            lines: 0,
        }
    }

    /// Adds a line.
    pub(super) fn add(&mut self, fields: Fields) -> io::Result<()> {
        let mut numbered = Fields::new();
        numbered.insert("n".to_owned(), json!(self.lines));
        numbered.extend(fields);
        let text = Json::Object(numbered).to_string();
        let hash = link(&self.last, &text);
        let open = text.strip_suffix('}').unwrap_or(&text);
        writeln!(self.to, "{open},\"hash\":\"{hash}\"}}")?;
        self.lines += 1;
        self.last = hash;
        Ok(())
    }

    /// Hands on what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// The hash of the last line, and how many there are.
    pub(super) fn end(self) -> (Hash, u64) {
        (self.last, self.lines)
    }

    /// How many lines there are.
    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }
}
