//! What stands in a journal. Owns the shape of each record; neither writes nor reads a file.

mod seen;
mod words;

use bincode::{Decode, Encode};
use oriel_protocol::{
    CommandId, EventKind, Moment, Refusal, ServiceCall, VcpuCall, Verdict, VmCall,
    commands::{ServiceId, ServiceReply, VcpuId, VcpuReply, VmId, VmReply},
};

pub use seen::{Seen, Stamp};
pub use words::{Class, Parameter, Seat};

/// The first bytes of a journal.
pub const MAGIC: [u8; 8] = *b"ORIELJNL";
/// The version of what follows them, two bytes, little-endian. Another one is not read.
pub const VERSION: u16 = 1;

/// The word for the architecture that this engine knows.
pub const ARCH: &str = "x86-64";

/// One record of a journal.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are calls, which are not put on the heap on their way"
)]
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Entry {
    /// The first: whose journal it is.
    Header(Box<Header>),
    /// An instance was made, or was to be.
    Begun(Box<Begun>),
    /// An instance was called.
    Called(Called),
    /// An event that an instance was not asked about: there was none.
    Missed(Box<Missed>),
    /// An instance is no more.
    Gone {
        /// Which.
        instance: u64,
    },
    /// So many calls are missing here.
    Lost {
        /// Of which vCPU; behind the last one: of no vCPU.
        ring: u32,
        /// How many.
        count: u64,
    },
    /// The last: how the VM ended.
    End {
        /// In words.
        detail: String,
        /// Calls that are missing, in all.
        lost: u64,
    },
}

/// Whose journal it is. Its shape is that of every version to come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// What the VM's vCPUs run, in a word ([`ARCH`]).
    pub arch: String,
    /// The VM.
    pub uuid: [u8; 16],
    /// Its name.
    pub name: String,
    /// How many vCPUs it has.
    pub vcpus: u32,
    /// Which tables of commands and events its records are numbered by ([`tables`]).
    pub tables: u32,
    /// The version of the engine that wrote it.
    pub engine: String,
    /// When it began, in seconds since 1970.
    pub began_s: u64,
}

/// A checksum of the names of all commands and events, in their order: journals number them.
pub fn tables() -> u32 {
    let vm = VmId::ALL.iter().map(|id| id.name());
    let vcpu = VcpuId::ALL.iter().map(|id| id.name());
    let service = ServiceId::ALL.iter().map(|id| id.name());
    let events = EventKind::ALL.iter().map(|kind| kind.name());
    let names: Vec<_> = vm.chain(vcpu).chain(service).chain(events).collect();
    crc32fast::hash(names.join(" ").as_bytes())
}

/// An instance was made: of what, for what, and what came of it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Begun {
    /// Its number; 0 if none came of it.
    pub instance: u64,
    /// The policy's name.
    pub policy: String,
    /// Its revision, from 1.
    pub revision: u64,
    /// The SHA-256 of its code.
    pub digest: [u8; 32],
    /// What it is for.
    pub seat: Seat,
    /// Nobody obeys it.
    pub on_trial: bool,
    /// How it is configured.
    pub settings: Vec<(String, Parameter)>,
    /// What it may use, by the names of the limits.
    pub limits: Vec<(String, u64)>,
    /// When.
    pub at: Stamp,
    /// What it asked the host in `init`.
    pub said: Vec<u8>,
    /// What came of it.
    pub outcome: Outcome,
}

/// An instance was called.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Called {
    /// Which.
    pub instance: u64,
    /// Of an instance that all vCPUs share: the number of the call. 0 of any other, whose calls stand
    /// in their order.
    pub turn: u64,
    /// When, and in which event of the vCPU.
    pub at: Stamp,
    /// What it was called for.
    pub asked: Asked,
    /// What it asked the host, and what it was told: [`said`] reads it.
    pub said: Vec<u8>,
    /// What it answered.
    pub outcome: Outcome,
}

/// What an instance was called for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Asked {
    /// To answer an event.
    Judge(Seen),
    /// To see one.
    Observe(Seen),
    /// To be told of something that takes no answer.
    Notice(EventKind),
    /// By the clock.
    Tick {
        /// Calls that were left out.
        missed: u32,
    },
    /// To hand over what the revision after it is to know.
    Save,
    /// To take that over.
    Restore {
        /// The author's version of its shape.
        schema: u32,
        /// What it is.
        data: Vec<u8>,
        /// The revision that has handed it over.
        revision: u64,
    },
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The event is to happen.
    Continue,
    /// Another verdict.
    Verdict(Verdict),
    /// It came to its end, and had nothing to say.
    Done,
    /// What it hands over.
    Saved {
        /// The author's version of its shape.
        schema: u32,
        /// What it is.
        data: Vec<u8>,
    },
    /// It failed.
    Failed {
        /// In what way.
        class: Class,
        /// In words.
        reason: String,
        /// What answered the event in its place; none: nothing was to be answered.
        answered: Option<Verdict>,
    },
}

/// An event that no instance was asked about.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Missed {
    /// The policy's name.
    pub policy: String,
    /// For what an instance of it was missing.
    pub seat: Seat,
    /// When.
    pub at: Stamp,
    /// The event.
    pub seen: Seen,
    /// Why, in words.
    pub reason: String,
    /// What answered.
    pub answered: Verdict,
}

/// A command of a policy, and what it was told.
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few of them at a time, those of one call"
)]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Said {
    /// To the VM.
    Vm(VmCall, Result<VmReply, Refusal>),
    /// To a vCPU.
    Vcpu(u32, VcpuCall, Result<VcpuReply, Refusal>),
    /// To the engine.
    Service(ServiceCall, Result<ServiceReply, Refusal>),
}

impl Said {
    /// Which command.
    pub const fn id(&self) -> CommandId {
        match self {
            Self::Vm(call, _) => CommandId::Vm(call.id()),
            Self::Vcpu(_, call, _) => CommandId::Vcpu(call.id()),
            Self::Service(call, _) => CommandId::Service(call.id()),
        }
    }

    /// Why it was not done, if it was not.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Vm(_, answer) => answer.as_ref().err().copied(),
            Self::Vcpu(_, _, answer) => answer.as_ref().err().copied(),
            Self::Service(_, answer) => answer.as_ref().err().copied(),
        }
    }
}

/// The commands of a call, in order. What makes no sense, and what is behind it, is left out.
pub fn said(mut bytes: &[u8]) -> Vec<Said> {
    let mut all = Vec::new();
    while let Some((said, used)) = crate::codec::take(bytes).filter(|(_, used)| *used > 0) {
        all.push(said);
        bytes = bytes.get(used..).unwrap_or_default();
    }
    all
}

impl Outcome {
    /// The verdict on the event; none if there was nothing to be answered.
    pub const fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Continue => Some(&Verdict::Continue),
            Self::Verdict(verdict) => Some(verdict),
            Self::Failed { answered, .. } => answered.as_ref(),
            Self::Done | Self::Saved { .. } => None,
        }
    }
}

impl Entry {
    /// When, where that has a meaning: nanoseconds since the VM started.
    pub fn time_ns(&self) -> Option<u64> {
        let at = |at: &Stamp| Some(Moment::from(*at).time_ns);
        match self {
            Self::Begun(begun) => at(&begun.at),
            Self::Called(called) => at(&called.at),
            Self::Missed(missed) => at(&missed.at),
            Self::Header(_) | Self::Gone { .. } | Self::Lost { .. } | Self::End { .. } => None,
        }
    }
}
