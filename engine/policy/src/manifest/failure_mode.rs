//! What answers an event when a policy cannot.

use std::collections::BTreeMap;

use oriel_protocol::EventKind;
use serde::{Deserialize, Serialize};

/// What answers an event when a policy cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureMode {
    /// It happens: `continue`.
    Open,
    /// It does not happen: `deny`, and where the kind cannot be denied the VM stops. What a
    /// policy gets that declares nothing: whoever breaks it must not get past it.
    #[default]
    Closed,
    /// The vCPU waits for the operator, with an alert and for a limited time; only where the
    /// operator allows it.
    Pause,
    /// It happens, and the policy is not asked any more: what it has armed is undone.
    Detach,
}

/// A policy's failure modes, by kind of event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<String, FailureMode>",
    into = "BTreeMap<String, FailureMode>"
)]
pub struct OnFailure {
    default: FailureMode,
    kinds: BTreeMap<EventKind, FailureMode>,
}

const DEFAULT: &str = "default";

impl OnFailure {
    /// The same for every kind.
    pub const fn always(mode: FailureMode) -> Self {
        Self {
            default: mode,
            kinds: BTreeMap::new(),
        }
    }

    /// With another mode for one kind.
    #[must_use]
    pub fn with(mut self, kind: EventKind, mode: FailureMode) -> Self {
        self.kinds.insert(kind, mode);
        self
    }

    /// The mode for a kind.
    pub fn of(&self, kind: EventKind) -> FailureMode {
        self.kinds.get(&kind).copied().unwrap_or(self.default)
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl TryFrom<BTreeMap<String, FailureMode>> for OnFailure {
    type Error = String;

    fn try_from(named: BTreeMap<String, FailureMode>) -> Result<Self, String> {
        let mut modes = Self::default();
        for (name, mode) in named {
            match EventKind::by_name(&name) {
                Some(kind) => drop(modes.kinds.insert(kind, mode)),
                None if name == DEFAULT => modes.default = mode,
                None => return Err(format!("`{name}` is no kind of event (or `{DEFAULT}`)")),
            }
        }
        Ok(modes)
    }
}

impl From<OnFailure> for BTreeMap<String, FailureMode> {
    fn from(modes: OnFailure) -> Self {
        let kinds = modes
            .kinds
            .into_iter()
            .map(|(kind, mode)| (kind.name().to_owned(), mode));
        kinds.chain([(DEFAULT.to_owned(), modes.default)]).collect()
    }
}
