//! The answers that events take: one enum for each set of possible answers.
//!
//! A kind of event names the one it takes (`msr::Verdict` is [`Value<u64>`]). What an answer
//! does to the guest is the engine's; nothing here decides anything.

use crate::native::Spoken;
use crate::{Exception, Verdicts};

/// What every verdict can say of itself.
///
/// ```
/// use oriel_sdk::Verdicts;
/// use oriel_sdk::verdict::{Answer, Fact, Instruction, Value};
///
/// assert_eq!(Value::Replace(7_u64).kind(), Verdicts::REPLACE);
/// assert!(!Instruction::ALL.contains(Verdicts::REPLACE));
/// assert_eq!(Fact::Continue.kind() | Fact::Crash.kind(), Fact::ALL);
/// ```
pub trait Answer: Spoken {
    /// All verdicts of its type.
    const ALL: Verdicts;

    /// Which verdict it is, as `moment.allowed` names it.
    fn kind(&self) -> Verdicts;
}

/// The answer to an instruction that moves a value of type `V`: into a register, or out of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<V> {
    /// Let it happen.
    Continue,
    /// Enter the guest at the same instruction again.
    Retry,
    /// Stop the VM with a report.
    Crash,
    /// Let it happen with this value. On a write, the old value means: keep it, silently.
    Replace(V),
    /// Make the instruction fault with #GP(0).
    Deny,
    /// Go on behind the instruction, which has no effect.
    Skip,
    /// Raise this exception instead.
    Inject(Exception),
}

/// The answer to an instruction whose value is not a judge's to replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Let it happen.
    Continue,
    /// Enter the guest at the same instruction again.
    Retry,
    /// Stop the VM with a report.
    Crash,
    /// Make the instruction fault with #GP(0).
    Deny,
    /// Go on behind the instruction, which has no effect.
    Skip,
    /// Raise this exception instead.
    Inject(Exception),
}

/// The answer to something that has happened already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Go on.
    Continue,
    /// Stop the VM with a report.
    Crash,
}

/// The answers of [`Instruction`]; [`Value`] can also replace.
const INSTRUCTION: Verdicts = Fact::ALL
    .union(Verdicts::RETRY)
    .union(Verdicts::DENY)
    .union(Verdicts::SKIP)
    .union(Verdicts::INJECT);

impl<V> Answer for Value<V>
where
    Self: Spoken,
{
    const ALL: Verdicts = INSTRUCTION.union(Verdicts::REPLACE);

    fn kind(&self) -> Verdicts {
        match self {
            Self::Continue => Verdicts::CONTINUE,
            Self::Retry => Verdicts::RETRY,
            Self::Crash => Verdicts::CRASH,
            Self::Replace(_) => Verdicts::REPLACE,
            Self::Deny => Verdicts::DENY,
            Self::Skip => Verdicts::SKIP,
            Self::Inject(_) => Verdicts::INJECT,
        }
    }
}

impl Answer for Instruction {
    const ALL: Verdicts = INSTRUCTION;

    fn kind(&self) -> Verdicts {
        match self {
            Self::Continue => Verdicts::CONTINUE,
            Self::Retry => Verdicts::RETRY,
            Self::Crash => Verdicts::CRASH,
            Self::Deny => Verdicts::DENY,
            Self::Skip => Verdicts::SKIP,
            Self::Inject(_) => Verdicts::INJECT,
        }
    }
}

impl Answer for Fact {
    const ALL: Verdicts = Verdicts::CONTINUE.union(Verdicts::CRASH);

    fn kind(&self) -> Verdicts {
        match self {
            Self::Continue => Verdicts::CONTINUE,
            Self::Crash => Verdicts::CRASH,
        }
    }
}
