//! How a call of a policy can go wrong.

use std::{fmt, time::Duration};

use oriel_protocol::VerdictKind;
use thiserror::Error;

/// A policy did not answer, or not as it must. The engine then answers in its place, by the
/// declared failure mode.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// Its code trapped: a panic, a bad access, a stack that ran out, too much handed over.
    #[error("it trapped: {message}")]
    Trap {
        /// What happened and where, with the policy's own last words if it logged any.
        message: String,
        /// Where.
        trace: Trace,
    },
    /// It was still running when its CPU time was used up.
    #[error("it used more than {} ms of CPU time and was stopped", .limit.as_millis())]
    Overdue {
        /// What it was allowed.
        limit: Duration,
        /// What it had burnt, at least, when it was stopped.
        cpu_ns: u64,
        /// Where it was then.
        trace: Trace,
    },
    /// It was waited for too long without having used up its CPU time: the host is busy, or
    /// somebody it asked was slow. The guest is let go; the policy is not to blame.
    #[error("it did not answer within {} ms, though it used little CPU time", .bound.as_millis())]
    Stalled {
        /// How long it may be waited for.
        bound: Duration,
    },
    /// The judges of this event have together used up its time.
    #[error("the judges of this event together used up its time")]
    RoundOver,
    /// Its verdict is one that this event cannot take.
    #[error("it answered `{}`, which this event cannot take", .verdict.name())]
    Illegal {
        /// What it answered.
        verdict: VerdictKind,
    },
    /// It emulated more bytes than a verdict carries.
    #[error("it emulated {length} bytes; a verdict carries 256 at most")]
    TooLong {
        /// How many.
        length: usize,
    },
    /// It went on asking long after it had been told that it may ask no more.
    #[error("it asked for more than the {most} things that a call may ask for, {refused} times")]
    Storm {
        /// How much it may ask for.
        most: u32,
        /// How often it was refused.
        refused: u32,
    },
    /// `init` answered with an error.
    #[error("it did not start: {0}")]
    Init(String),
    /// A function that it exports has another type than the contract says.
    #[error("a function that it exports is not as Oriel calls it: {0}")]
    Mismatch(String),
    /// `save` or `restore` answered with an error.
    #[error("its state could not be carried over: {0}")]
    Declined(String),
    /// All instance slots of the pool are taken.
    #[error("no room for another instance; raise the pool's size")]
    Full,
    /// There are as many instances of it on this VM as there may be.
    #[error("it has {most} instances already, which is its limit; raise `instances`")]
    Crowded {
        /// How many there may be.
        most: usize,
    },
    /// It does not export what was called.
    #[error("it does not export `{0}`")]
    Unheard(&'static str),
    /// It failed before, and cannot be called again.
    #[error("it failed before; a new instance is needed")]
    Dead,
    /// The thread's slot is another host's, whose watchdog would never look at this call.
    #[error("this thread's slot belongs to another host of policies")]
    Foreign,
    /// The thread's slot is in a call already.
    #[error("this thread is already inside a policy")]
    Nested,
}

impl Failure {
    /// Whether it counts against the policy. What is the host's fault, or another judge's, does
    /// not.
    pub const fn is_strike(&self) -> bool {
        match self {
            Self::Trap { .. } | Self::Overdue { .. } | Self::Init(_) => true,
            Self::Illegal { .. } | Self::TooLong { .. } | Self::Storm { .. } => true,
            Self::Stalled { .. } | Self::RoundOver | Self::Full | Self::Crowded { .. } => false,
            Self::Nested | Self::Foreign => false,
            Self::Declined(_) | Self::Mismatch(_) | Self::Unheard(_) | Self::Dead => false,
        }
    }
}

impl Failure {
    /// Where in its code it was; empty where that has no meaning, or nothing is known.
    pub fn trace(&self) -> &[String] {
        match self {
            Self::Trap { trace, .. } | Self::Overdue { trace, .. } => trace.frames(),
            Self::Stalled { .. } | Self::RoundOver | Self::Illegal { .. } => &[],
            Self::TooLong { .. } | Self::Storm { .. } | Self::Init(_) => &[],
            Self::Mismatch(_) | Self::Declined(_) | Self::Full | Self::Crowded { .. } => &[],
            Self::Unheard(_) | Self::Dead | Self::Foreign | Self::Nested => &[],
        }
    }
}

/// The functions that a policy was in, innermost first, by the names that its authors know, or by
/// their numbers where the component has no names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trace(Box<[String]>);

impl Trace {
    /// The functions.
    pub fn frames(&self) -> &[String] {
        &self.0
    }
}

impl FromIterator<String> for Trace {
    fn from_iter<I: IntoIterator<Item = String>>(frames: I) -> Self {
        Self(frames.into_iter().collect())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(&self.0).finish()
    }
}
