//! The keys of a step that do not belong to one kind of event.

use oriel_protocol::{Gpa, Gva, commands::vcpu::Place};
use serde::Deserialize;

use crate::mock::{
    scenario::value::{Name, number, optional, place},
    step::Stand,
};

/// Keys that say what is done.
pub(super) const VERBS: [&str; 8] = [
    "event", "report", "serial", "wait-for", "signal", "idle", "unjudged", "finish",
];
/// Keys that every step can have.
pub(super) const COMMON: [&str; 3] = ["vcpu", "repeat", "expect"];
/// Keys that every step with an `event` can have too.
pub(super) const STAND: [&str; 4] = ["ip", "cpl", "cr3", "length"];

/// What is done: the one key of [`VERBS`] in a step.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verb {
    Event(String),
    Report(String),
    Serial(String),
    WaitFor(String),
    Signal(String),
    Idle(#[serde(deserialize_with = "number")] u32),
    Unjudged(String),
    Finish(#[serde(deserialize_with = "number")] u32),
}

/// [`COMMON`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Common {
    #[serde(default, deserialize_with = "number")]
    pub(super) vcpu: u32,
    #[serde(default = "once", deserialize_with = "number")]
    pub(super) repeat: u64,
    pub(super) expect: Option<ExpectKeys>,
}

const fn once() -> u64 {
    1
}

/// What should come of a step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectKeys {
    pub(super) verdict: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    pub(super) value: Option<u64>,
}

/// [`STAND`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StandKeys {
    #[serde(default, deserialize_with = "optional")]
    ip: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    cpl: Option<u8>,
    #[serde(default, deserialize_with = "optional")]
    cr3: Option<u64>,
    #[serde(default, deserialize_with = "optional")]
    length: Option<u8>,
}

impl From<StandKeys> for Stand {
    fn from(keys: StandKeys) -> Self {
        let StandKeys {
            ip,
            cpl,
            cr3,
            length,
        } = keys;
        Self {
            ip,
            cpl,
            cr3,
            length,
        }
    }
}

/// What is done has no keys of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// `report = "register"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterKey {
    pub(super) register: Name,
}

/// `unjudged`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GpaKey {
    #[serde(deserialize_with = "number")]
    pub(super) gpa: Gpa,
}

/// `report = "faults"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faults {
    #[serde(default, deserialize_with = "optional")]
    pub(super) vector: Option<u8>,
}

/// `report = "memory"`.
#[derive(Deserialize)]
#[serde(try_from = "MemoryKeys")]
pub(super) struct Memory {
    pub(super) place: Place,
    pub(super) size: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryKeys {
    #[serde(default, deserialize_with = "optional")]
    gva: Option<Gva>,
    #[serde(default, deserialize_with = "optional")]
    gpa: Option<Gpa>,
    #[serde(default = "long", deserialize_with = "number")]
    size: u8,
}

const fn long() -> u8 {
    8
}

impl TryFrom<MemoryKeys> for Memory {
    type Error = &'static str;

    fn try_from(keys: MemoryKeys) -> Result<Self, Self::Error> {
        Ok(Self {
            place: place(keys.gva, keys.gpa)?,
            size: keys.size,
        })
    }
}
