//! What a machine can do, by canonical name, with the reason where it cannot.

use std::borrow::Cow;

use bincode::{Decode, de::Decoder, error::DecodeError};
use serde::Serialize;

use crate::{Decision, EventKind, VerdictSet};

/// How well something is supported.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Support {
    /// Not at all.
    No,
    /// With the limits that the capability's detail names.
    Partly,
    /// As the table says.
    Yes,
}

/// One thing that a machine can or cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, bincode::Encode)]
pub struct Capability {
    /// The canonical name of an event, or of a facility (`memory-write`, `registers`, `pause`).
    pub name: Cow<'static, str>,
    /// Whether.
    pub support: Support,
    /// By which mechanism; empty where there is none.
    pub mechanism: Cow<'static, str>,
    /// For an event: the verdicts that the mechanism can carry out.
    pub verdicts: VerdictSet,
    /// What is missing, and why; empty where nothing is.
    pub reason: String,
}

/// All that a machine has to say about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
#[serde(transparent)]
pub struct Capabilities(Vec<Capability>);

impl Capabilities {
    /// Says that an event is reported by `mechanism` and can take `verdicts`.
    #[must_use]
    pub fn event(self, kind: EventKind, mechanism: &'static str, verdicts: VerdictSet) -> Self {
        self.with(
            kind.name(),
            Support::Yes,
            mechanism,
            verdicts,
            String::new(),
        )
    }

    /// Says that an event is reported within limits.
    #[must_use]
    pub fn event_within(
        self,
        kind: EventKind,
        mechanism: &'static str,
        verdicts: VerdictSet,
        limits: impl Into<String>,
    ) -> Self {
        self.with(
            kind.name(),
            Support::Partly,
            mechanism,
            verdicts,
            limits.into(),
        )
    }

    /// Says that an event is not reported, and why.
    #[must_use]
    pub fn no_event(self, kind: EventKind, reason: impl Into<String>) -> Self {
        self.with(
            kind.name(),
            Support::No,
            "",
            VerdictSet::NONE,
            reason.into(),
        )
    }

    /// Says that the machine has a facility.
    #[must_use]
    pub fn facility(self, name: &'static str, mechanism: &'static str) -> Self {
        self.with(
            name,
            Support::Yes,
            mechanism,
            VerdictSet::NONE,
            String::new(),
        )
    }

    /// Says that the machine has a facility within limits, or lacks it.
    #[must_use]
    pub fn limited(self, name: &'static str, support: Support, reason: impl Into<String>) -> Self {
        self.with(name, support, "", VerdictSet::NONE, reason.into())
    }

    fn with(
        mut self,
        name: &'static str,
        support: Support,
        mechanism: &'static str,
        verdicts: VerdictSet,
        reason: String,
    ) -> Self {
        self.0.retain(|known| known.name != name);
        self.0.push(Capability {
            name: Cow::Borrowed(name),
            support,
            mechanism: Cow::Borrowed(mechanism),
            verdicts,
            reason,
        });
        self
    }

    /// What is known of this name.
    pub fn get(&self, name: &str) -> Option<&Capability> {
        self.0.iter().find(|known| known.name == name)
    }

    /// Whether the machine can report this kind of event at all.
    pub fn reports(&self, kind: EventKind) -> bool {
        self.get(kind.name())
            .is_some_and(|known| known.support > Support::No)
    }

    /// The verdicts that an event of this kind can take on this machine.
    pub fn verdicts(&self, kind: EventKind) -> VerdictSet {
        self.get(kind.name())
            .map_or(VerdictSet::NONE, |known| known.verdicts)
    }

    /// In the order in which they were said.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.0.iter()
    }
}

/// What a journal holds owns its words.
impl<Context> Decode<Context> for Capability {
    fn decode<D: Decoder<Context = Context>>(from: &mut D) -> Result<Self, DecodeError> {
        let (name, support, mechanism, verdicts, reason): (String, _, String, _, _) =
            Decode::decode(from)?;
        Ok(Self {
            name: Cow::Owned(name),
            support,
            mechanism: Cow::Owned(mechanism),
            verdicts,
            reason,
        })
    }
}

bincode::impl_borrow_decode!(Capability);

impl Decision {
    /// The decision's word in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Retry => "retry",
            Self::Crash => "crash",
            Self::Replace => "replace",
            Self::Deny => "deny",
            Self::Skip => "skip",
            Self::Inject => "inject",
            Self::Emulate => "emulate",
            Self::Step => "step",
            Self::Keep => "keep",
        }
    }
}
