//! What a policy declares about itself: the custom section `oriel:manifest` of its component,
//! UTF-8 JSON. Every key can be left out, and so can the section.

mod error;
mod failure_mode;
mod rights;
mod section;

use std::collections::{BTreeMap, BTreeSet};

use oriel_protocol::Right;
use serde::{Deserialize, Serialize};

pub use error::ManifestError;
pub use failure_mode::{FailureMode, OnFailure};
pub use section::write_manifest;

use crate::{config::Parameter, limits::Row};

/// The most bytes of a manifest.
const LENGTH_MAX: usize = 64 << 10;

/// What a policy declares about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Manifest {
    /// Its name, for people and for the operator's configuration.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its own version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Who made it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub vendor: String,
    /// What it does, in a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The rights that it may use. Left out: those that it imports.
    #[serde(with = "rights", skip_serializing_if = "Option::is_none")]
    pub rights: Option<BTreeSet<Right>>,
    /// Times that it gets by with.
    #[serde(skip_serializing_if = "Deadlines::is_default")]
    pub deadlines: Deadlines,
    /// What it gets by with of everything else, by the names of [`crate::limits::TABLE`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// What answers in its place when it fails.
    #[serde(skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// How many instances of it there are.
    pub instances: InstanceMode,
    /// What can be configured.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Parameter>,
    /// The version of what it keeps in its store.
    pub store_schema: StoreSchema,
    /// How often it is called by the clock. Left out: every second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_ms: Option<u64>,
    /// How it is swapped.
    pub swap: SwapMode,
}

/// Times in milliseconds; what is left out is the operator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Deadlines {
    /// CPU time of one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_ms: Option<u64>,
    /// CPU time of `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_ms: Option<u64>,
    /// CPU time of a tick.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_ms: Option<u64>,
    /// CPU time of `save`, and of `restore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_ms: Option<u64>,
}

/// How many instances of a policy there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceMode {
    /// One for each vCPU; they share by the store.
    #[default]
    Vcpu,
    /// One for the VM; the vCPUs take turns.
    Vm,
}

/// How a policy is swapped for another revision of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SwapMode {
    /// Each vCPU by itself, between two events.
    #[default]
    Rolling,
    /// All vCPUs at once.
    Together,
}

/// The version of what a policy keeps in its store: 1 where it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreSchema(pub u32);

impl Default for StoreSchema {
    fn default() -> Self {
        Self(1)
    }
}

impl Deadlines {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn all(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("event-ms", self.event_ms),
            ("init-ms", self.init_ms),
            ("tick-ms", self.tick_ms),
            ("state-ms", self.state_ms),
        ]
    }
}

impl Manifest {
    /// Reads a manifest's section.
    ///
    /// # Errors
    /// [`ManifestError`] names the key that is wrong.
    pub fn read(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > LENGTH_MAX {
            return Err(ManifestError::Length(json.len()));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What its types cannot say.
    fn check(&self) -> Result<(), ManifestError> {
        let times = self
            .deadlines
            .all()
            .into_iter()
            .chain([("tick-ms", self.tick_ms)]);
        for (key, time) in times {
            if time == Some(0) {
                return Err(ManifestError::Zero(key));
            }
        }
        for key in self.limits.keys() {
            Row::named(key)?.check_manifest()?;
        }
        for (key, parameter) in &self.config {
            parameter.check(key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
