//! How a judge answers an event.

use serde::Serialize;

use crate::{set::flags, x86::CpuidLeaf, x86::Exception};

/// A value that an event carries and a verdict can replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
#[serde(untagged)]
pub enum Value {
    /// A register, a port, a word of memory.
    Word(u64),
    /// What CPUID answers.
    Leaf(CpuidLeaf),
}

/// The answer to an event. Which ones an event can take is [`Event::allowed`](crate::Event).
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Verdict {
    /// Let it happen.
    #[default]
    Continue,
    /// Enter the guest at the same instruction again.
    Retry,
    /// Stop the VM with a report.
    Crash,
    /// Let it happen with another value.
    Replace(Value),
    /// The instruction faults with #GP(0).
    Deny,
    /// Go on behind the instruction, which has no effect.
    Skip,
    /// Raise an exception instead.
    Inject(Exception),
    /// For a read: what is read instead, at most [`Verdict::EMULATE_MAX`] bytes.
    Emulate(Box<[u8]>),
    /// Lift the trap for this one instruction.
    Step,
}

impl Verdict {
    /// The most bytes that [`Verdict::Emulate`] carries (KVMI's `ctx_data`).
    pub const EMULATE_MAX: usize = 256;

    /// The verdict without its data.
    pub const fn kind(&self) -> VerdictKind {
        match self {
            Self::Continue => VerdictKind::Continue,
            Self::Retry => VerdictKind::Retry,
            Self::Crash => VerdictKind::Crash,
            Self::Replace(_) => VerdictKind::Replace,
            Self::Deny => VerdictKind::Deny,
            Self::Skip => VerdictKind::Skip,
            Self::Inject(_) => VerdictKind::Inject,
            Self::Emulate(_) => VerdictKind::Emulate,
            Self::Step => VerdictKind::Step,
        }
    }
}

/// A verdict without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictKind {
    /// [`Verdict::Continue`]
    Continue,
    /// [`Verdict::Retry`]
    Retry,
    /// [`Verdict::Crash`]
    Crash,
    /// [`Verdict::Replace`]
    Replace,
    /// [`Verdict::Deny`]
    Deny,
    /// [`Verdict::Skip`]
    Skip,
    /// [`Verdict::Inject`]
    Inject,
    /// [`Verdict::Emulate`]
    Emulate,
    /// [`Verdict::Step`]
    Step,
}

impl VerdictKind {
    /// Its word in WIT, JSON and on the command line.
    pub const fn name(self) -> &'static str {
        VerdictSet::NAMES[self as usize].1
    }

    /// The set that holds just this one.
    pub const fn set(self) -> VerdictSet {
        VerdictSet::NAMES[self as usize].0
    }
}

flags! {
    /// A set of verdicts; the order of the bits is that of [`VerdictKind`] and of the WIT flags.
    pub struct VerdictSet: u16 {
        /// [`Verdict::Continue`]
        CONTINUE = 1, "continue";
        /// [`Verdict::Retry`]
        RETRY = 1 << 1, "retry";
        /// [`Verdict::Crash`]
        CRASH = 1 << 2, "crash";
        /// [`Verdict::Replace`]
        REPLACE = 1 << 3, "replace";
        /// [`Verdict::Deny`]
        DENY = 1 << 4, "deny";
        /// [`Verdict::Skip`]
        SKIP = 1 << 5, "skip";
        /// [`Verdict::Inject`]
        INJECT = 1 << 6, "inject";
        /// [`Verdict::Emulate`]
        EMULATE = 1 << 7, "emulate";
        /// [`Verdict::Step`]
        STEP = 1 << 8, "step";
    }
}

/// What the judges of an event have decided so far: a verdict's kind, or `keep`, which is a
/// `replace` by the value that was there before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode,
)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Nobody has objected.
    #[default]
    Continue,
    /// The same instruction again.
    Retry,
    /// The VM stops.
    Crash,
    /// Another value.
    Replace,
    /// #GP(0).
    Deny,
    /// No effect.
    Skip,
    /// An exception.
    Inject,
    /// Other bytes are read.
    Emulate,
    /// One instruction without the trap.
    Step,
    /// The old value stays.
    Keep,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdicts_name_and_bit_are_its_own() {
        let all = [
            (Verdict::Continue, "continue", VerdictSet::CONTINUE),
            (Verdict::Retry, "retry", VerdictSet::RETRY),
            (Verdict::Crash, "crash", VerdictSet::CRASH),
            (
                Verdict::Replace(Value::Word(1)),
                "replace",
                VerdictSet::REPLACE,
            ),
            (Verdict::Deny, "deny", VerdictSet::DENY),
            (Verdict::Skip, "skip", VerdictSet::SKIP),
            (
                Verdict::Inject(Exception::GP0),
                "inject",
                VerdictSet::INJECT,
            ),
            (
                Verdict::Emulate(Box::default()),
                "emulate",
                VerdictSet::EMULATE,
            ),
            (Verdict::Step, "step", VerdictSet::STEP),
        ];
        assert_eq!(all.len(), VerdictSet::NAMES.len());
        for (verdict, name, bit) in all {
            assert_eq!(verdict.kind().name(), name);
            assert_eq!(verdict.kind().set(), bit);
        }
    }
}
