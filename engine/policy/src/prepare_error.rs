//! Why a plugin cannot be made a policy.

use std::collections::BTreeSet;

use oriel_protocol::Right;
use thiserror::Error;

use crate::{ConfigError, Failure};

/// Why a plugin cannot be made a policy on these terms.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// It asks for more than it was granted.
    #[error(
        "it asks for rights that it was not granted: {}; grant them with `--grant {policy}={}`, \
         or `grant = [{}]` in its `[[policy]]`",
        names(.missing, ""), .all.iter().map(|right| right.name()).collect::<Vec<_>>().join(","),
        names(.all, "\"")
    )]
    NotGranted {
        /// Its name.
        policy: String,
        /// What it lacks.
        missing: Vec<Right>,
        /// What it was granted, and what it lacks.
        all: Vec<Right>,
    },
    /// Its configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It uses a function that this host does not have, or has with another type.
    #[error(
        "it uses a function that this Oriel does not have: {0}; it may be newer than this Oriel"
    )]
    Import(String),
    /// It has a function of ours with another type, or lacks one.
    #[error(
        "a function that it exports is not as Oriel calls it: {0}; build it against wit/ again"
    )]
    Export(String),
    /// The instance that was made to ask for its filters failed.
    #[error("it cannot be asked for its filters: {0}")]
    Probe(Failure),
}

impl PrepareError {
    /// Rights that are missing.
    pub(crate) fn not_granted(
        policy: &str,
        missing: Vec<Right>,
        granted: &BTreeSet<Right>,
    ) -> Self {
        let all: BTreeSet<_> = granted.iter().chain(&missing).copied().collect();
        Self::NotGranted {
            policy: policy.to_owned(),
            missing,
            all: all.into_iter().collect(),
        }
    }
}

impl From<Failure> for PrepareError {
    fn from(failure: Failure) -> Self {
        if let Failure::Mismatch(which) = failure {
            return Self::Export(which);
        }
        Self::Probe(failure)
    }
}

fn names(rights: &[Right], quote: &str) -> String {
    let quoted = rights
        .iter()
        .map(|right| format!("{quote}{}{quote}", right.name()));
    quoted.collect::<Vec<_>>().join(", ")
}
