//! Why a scenario cannot be played.

use std::{io, ops::Range};

use thiserror::Error;

use super::check::{Part, Wrong};

/// A scenario that cannot be played.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// Which.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The text is not a scenario.
    #[error("{file}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Text {
        /// Which file.
        file: String,
        /// Where in it, from 1, if that can be said.
        line: Option<usize>,
        /// What is wrong, with the key.
        message: String,
    },
    /// The host has no memory for the guest.
    #[error("{mib} MiB of guest memory cannot be mapped: {reason}")]
    Memory {
        /// How much was asked for.
        mib: u32,
        /// What the host said.
        reason: String,
    },
}

/// Something wrong with a piece of text.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Where in the text.
    pub(super) at: Option<Range<usize>>,
    /// What.
    pub(super) message: String,
}

impl Mistake {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            at: Some(at),
            message: message.into(),
        }
    }

    /// With the part of the scenario that it is in, and its place unless one is known already.
    pub(super) fn in_part(self, part: &str, at: Range<usize>) -> Self {
        Self {
            at: self.at.or(Some(at)),
            message: format!("{part}: {}", self.message),
        }
    }

    /// As an error of this file.
    pub(super) fn in_file(self, file: &str, text: &str) -> ScenarioError {
        ScenarioError::Text {
            file: file.to_owned(),
            line: self.at.map(|at| line_of(text, at.start)),
            message: self.message,
        }
    }
}

/// Where each part of a scenario stands in its text.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) memory: Vec<Range<usize>>,
    pub(super) maps: Vec<Range<usize>>,
    pub(super) vcpus: Vec<(u32, Range<usize>)>,
    pub(super) steps: Vec<Range<usize>>,
}

impl Places {
    /// What is wrong, with where that is.
    pub(super) fn locate(&self, wrong: Wrong) -> Mistake {
        let at = match wrong.part {
            Part::Whole => None,
            Part::Memory(index) => self.memory.get(index),
            Part::Map(index) => self.maps.get(index),
            Part::Vcpu(index) => self
                .vcpus
                .iter()
                .find(|(known, _)| *known == index)
                .map(|(_, at)| at),
            Part::Step(index) => self.steps.get(index),
        };
        Mistake {
            at: at.cloned(),
            message: wrong.to_string(),
        }
    }
}

/// With the keys that lead to it, on one line: without its input the error shows them itself.
impl From<toml::de::Error> for Mistake {
    fn from(mut error: toml::de::Error) -> Self {
        error.set_input(None);
        let message = error.to_string();
        Self {
            at: error.span(),
            message: message.trim_end().replace('\n', " "),
        }
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}
