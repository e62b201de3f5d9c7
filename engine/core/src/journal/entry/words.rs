//! The policy host's words as a journal has them: journals outlive its types.

use bincode::{Decode, Encode};
use oriel_policy::{Failure, Place, Setting};

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Seat {
    /// To be asked for its filters.
    Probe,
    /// To judge the events of this vCPU.
    Vcpu(u32),
    /// To judge the events of all vCPUs.
    Vm,
    /// To be called by the clock.
    Clock,
}

impl From<Place> for Seat {
    fn from(place: Place) -> Self {
        match place {
            Place::Probe => Self::Probe,
            Place::Vcpu(vcpu) => Self::Vcpu(vcpu),
            Place::Vm => Self::Vm,
            Place::Tick => Self::Clock,
        }
    }
}

impl From<Seat> for Place {
    fn from(seat: Seat) -> Self {
        match seat {
            Seat::Probe => Self::Probe,
            Seat::Vcpu(vcpu) => Self::Vcpu(vcpu),
            Seat::Vm => Self::Vm,
            Seat::Clock => Self::Tick,
        }
    }
}

impl std::fmt::Display for Seat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probe => out.write_str("the probe"),
            Self::Vcpu(vcpu) => write!(out, "vCPU {vcpu}"),
            Self::Vm => out.write_str("the VM"),
            Self::Clock => out.write_str("the clock"),
        }
    }
}

/// A configured value.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[expect(missing_docs, reason = "the words are the setting's")]
pub enum Parameter {
    Flag(bool),
    Number(u64),
    Text(String),
    Numbers(Vec<u64>),
    Texts(Vec<String>),
}

impl From<Setting> for Parameter {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::Flag(flag) => Self::Flag(flag),
            Setting::Number(number) => Self::Number(number),
            Setting::Text(text) => Self::Text(text),
            Setting::Numbers(numbers) => Self::Numbers(numbers),
            Setting::Texts(texts) => Self::Texts(texts),
        }
    }
}

impl From<Parameter> for Setting {
    fn from(parameter: Parameter) -> Self {
        match parameter {
            Parameter::Flag(flag) => Self::Flag(flag),
            Parameter::Number(number) => Self::Number(number),
            Parameter::Text(text) => Self::Text(text),
            Parameter::Numbers(numbers) => Self::Numbers(numbers),
            Parameter::Texts(texts) => Self::Texts(texts),
        }
    }
}

/// In what way a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Class {
    /// Its code trapped.
    Trap,
    /// It used up its CPU time.
    Overdue,
    /// It was waited for too long, or others had used up the event's time, or there was no room
    /// for it: what the host, and not the policy, is the cause of.
    Host,
    /// Its verdict is none that the event can take.
    Illegal,
    /// It went on asking.
    Storm,
    /// It answered with an error.
    Declined,
    /// It does not export what was called, or not as it should.
    Unheard,
}

impl Class {
    /// Whether the same call can be expected to fail in the same way again.
    pub const fn is_repeatable(self) -> bool {
        match self {
            Self::Trap | Self::Illegal | Self::Storm | Self::Declined | Self::Unheard => true,
            Self::Overdue | Self::Host => false,
        }
    }
}

impl From<&Failure> for Class {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Trap { .. } => Self::Trap,
            Failure::Overdue { .. } => Self::Overdue,
            Failure::Stalled { .. } | Failure::RoundOver | Failure::Full => Self::Host,
            Failure::Crowded { .. } | Failure::Foreign | Failure::Nested => Self::Host,
            Failure::Illegal { .. } | Failure::TooLong { .. } => Self::Illegal,
            Failure::Storm { .. } => Self::Storm,
            Failure::Init(_) | Failure::Declined(_) => Self::Declined,
            Failure::Mismatch(_) | Failure::Unheard(_) => Self::Unheard,
            // It is dead of something that has been told before.
            Failure::Dead => Self::Host,
        }
    }
}
