//! The policy host's words as a journal has them: journals outlive its types, so none of them is here.

use bincode::{Decode, Encode};

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
