//! Checks a trail. Owns nothing; believes no line that does not follow from the one before it.

use std::io::BufRead;

use serde_json::Value as Json;
use thiserror::Error;

use super::chain::{self, Hash};

/// A trail that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The VM's name.
    pub vm: String,
    /// How many lines there are.
    pub lines: u64,
    /// Commands that the trail itself says are not in it.
    pub lost: u64,
    /// The hash of the last line.
    pub hash: String,
}

/// What is wrong with a trail: the first thing that is.
#[derive(Debug, Error)]
pub enum Broken {
    /// It cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// From 1.
        line: u64,
        /// What the host said.
        source: std::io::Error,
    },
    /// A line is no line of a trail.
    #[error("line {0} is no line of an audit trail")]
    NoLine(u64),
    /// The first line is not the head.
    #[error(
        "line 1 does not name the VM and the time: this is no audit trail, or its beginning is missing"
    )]
    NoHead,
    /// A line does not follow from the one before it.
    #[error(
        "line {0} does not follow from the one before it: it was changed, or lines before it were \
         changed, added or taken out"
    )]
    Link(u64),
    /// A line comes after the last.
    #[error("line {0} comes after the closing line")]
    AfterEnd(u64),
    /// The last line is not whole.
    #[error("ends in the middle of line {0}: killed or cut")]
    Torn(u64),
    /// There is no last line.
    #[error("ends without a closing line, after line {0}: killed or cut")]
    NoEnd(u64),
}

/// Reads a whole trail.
///
/// # Errors
/// [`Broken`] names the first line that is wrong.
pub fn verify(mut from: impl BufRead) -> Result<Verified, Broken> {
    let mut check = Check::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let at = check.lines + 1;
        let read = from.read_until(b'\n', &mut line);
        if read.map_err(|source| Broken::Read { line: at, source })? == 0 {
            return check.end();
        }
        let whole = line.strip_suffix(b"\n").ok_or(Broken::Torn(at))?;
        let text = std::str::from_utf8(whole).map_err(|_| Broken::NoLine(at))?;
        check.line(at, text)?;
    }
}

#[derive(Default)]
struct Check {
    lines: u64,
    last: Option<Hash>,
    vm: String,
    lost: u64,
    ended: bool,
}

impl Check {
    fn line(&mut self, at: u64, line: &str) -> Result<(), Broken> {
        if self.ended {
            return Err(Broken::AfterEnd(at));
        }
        let (text, hash) = chain::split(line).ok_or(Broken::NoLine(at))?;
        let before = self.last.get_or_insert_with(chain::nothing);
        if chain::link(before, &text) != hash {
            return Err(Broken::Link(at));
        }
        hash.clone_into(before);
        let fields = serde_json::from_str(&text).map_err(|_| Broken::NoLine(at))?;
        self.lines = at;
        self.read(at, &fields)
    }

    fn read(&mut self, at: u64, fields: &Json) -> Result<(), Broken> {
        if fields["n"].as_u64() != Some(at - 1) {
            return Err(Broken::Link(at));
        }
        let kind = fields["type"].as_str().ok_or(Broken::NoLine(at))?;
        if (at == 1) != (kind == "head") {
            return Err(Broken::NoHead);
        }
        match kind {
            "head" => fields["vm"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut self.vm),
            "end" => {
                self.ended = true;
                self.lost = fields["lost"].as_u64().unwrap_or(0);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(self) -> Result<Verified, Broken> {
        match self.last {
            Some(hash) if self.ended => Ok(Verified {
                vm: self.vm,
                lines: self.lines,
                lost: self.lost,
                hash,
            }),
            Some(_) => Err(Broken::NoEnd(self.lines)),
            None => Err(Broken::NoHead),
        }
    }
}
