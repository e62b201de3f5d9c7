//! The verdicts that a rule can name, and what each is for the kinds that have it.

use oriel_sdk::{
    EventKind, Exception, page, singlestep,
    verdict::{self, Fact, Instruction, Value},
};

use crate::rule::number;

/// An answer, for any kind of event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Continue,
    Retry,
    Crash,
    Deny,
    Skip,
    Step,
    Replace(u64),
    Inject(Exception),
    Emulate(Vec<u8>),
}

impl Answer {
    /// Reads a verdict's name and what belongs to it: `replace N`, `inject VECTOR`,
    /// `emulate BYTES`, the bytes in hexadecimal.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let name = words.next()?;
        let operand = words.next();
        Some(match (name, operand) {
            ("continue", None) => Self::Continue,
            ("retry", None) => Self::Retry,
            ("crash", None) => Self::Crash,
            ("deny", None) => Self::Deny,
            ("skip", None) => Self::Skip,
            ("step", None) => Self::Step,
            ("replace", Some(value)) => Self::Replace(number(value)?),
            ("inject", Some(vector)) => Self::Inject(exception(vector.parse().ok()?)),
            ("emulate", Some(digits)) => Self::Emulate(bytes(digits)?),
            _ => return None,
        })
    }
}

/// With an error code of 0 where the vector has one (SDM vol. 3, table 7-1).
const fn exception(vector: u8) -> Exception {
    let coded = matches!(vector, 8 | 10..=14 | 17 | 21);
    Exception {
        vector,
        error_code: if coded { Some(0) } else { None },
        address: 0,
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    pairs.map(byte).collect()
}

/// A verdict that an answer may be.
pub(crate) trait Says: verdict::Answer {
    /// The event happens.
    const CONTINUE: Self;

    /// The verdict of this name, if there is one.
    fn of(answer: &Answer) -> Option<Self>
    where
        Self: Sized;
}

/// Whether the kind has such a verdict.
pub(crate) fn is_possible(kind: EventKind, answer: &Answer) -> bool {
    match kind {
        EventKind::Msr | EventKind::MsrRead | EventKind::Pio | EventKind::Mmio => {
            Value::<u64>::of(answer).is_some()
        }
        EventKind::Page => page::Verdict::of(answer).is_some(),
        EventKind::Breakpoint => Instruction::of(answer).is_some(),
        EventKind::Singlestep => singlestep::Verdict::of(answer).is_some(),
        EventKind::Trap | EventKind::Reset | EventKind::Shutdown => Fact::of(answer).is_some(),
        EventKind::Cr
        | EventKind::Xsetbv
        | EventKind::Hypercall
        | EventKind::Descriptor
        | EventKind::Cpuid
        | EventKind::CreateVcpu
        | EventKind::Pause
        | EventKind::Unhook => false,
    }
}

impl Says for Value<u64> {
    const CONTINUE: Self = Self::Continue;

    fn of(answer: &Answer) -> Option<Self> {
        Some(match *answer {
            Answer::Continue => Self::Continue,
            Answer::Retry => Self::Retry,
            Answer::Crash => Self::Crash,
            Answer::Deny => Self::Deny,
            Answer::Skip => Self::Skip,
            Answer::Replace(value) => Self::Replace(value),
            Answer::Inject(exception) => Self::Inject(exception),
            Answer::Step | Answer::Emulate(_) => return None,
        })
    }
}

impl Says for Instruction {
    const CONTINUE: Self = Self::Continue;

    fn of(answer: &Answer) -> Option<Self> {
        Some(match *answer {
            Answer::Continue => Self::Continue,
            Answer::Retry => Self::Retry,
            Answer::Crash => Self::Crash,
            Answer::Deny => Self::Deny,
            Answer::Skip => Self::Skip,
            Answer::Inject(exception) => Self::Inject(exception),
            Answer::Step | Answer::Replace(_) | Answer::Emulate(_) => return None,
        })
    }
}

impl Says for Fact {
    const CONTINUE: Self = Self::Continue;

    fn of(answer: &Answer) -> Option<Self> {
        match answer {
            Answer::Continue => Some(Self::Continue),
            Answer::Crash => Some(Self::Crash),
            Answer::Retry | Answer::Deny | Answer::Skip | Answer::Step => None,
            Answer::Replace(_) | Answer::Inject(_) | Answer::Emulate(_) => None,
        }
    }
}

impl Says for singlestep::Verdict {
    const CONTINUE: Self = Self::Continue;

    fn of(answer: &Answer) -> Option<Self> {
        match *answer {
            Answer::Continue => Some(Self::Continue),
            Answer::Crash => Some(Self::Crash),
            Answer::Inject(exception) => Some(Self::Inject(exception)),
            Answer::Retry | Answer::Deny | Answer::Skip | Answer::Step => None,
            Answer::Replace(_) | Answer::Emulate(_) => None,
        }
    }
}

impl Says for page::Verdict {
    const CONTINUE: Self = Self::Continue;

    fn of(answer: &Answer) -> Option<Self> {
        Some(match answer {
            Answer::Continue => Self::Continue,
            Answer::Retry => Self::Retry,
            Answer::Crash => Self::Crash,
            Answer::Deny => Self::Deny,
            Answer::Skip => Self::Skip,
            Answer::Step => Self::Step,
            Answer::Replace(value) => Self::Replace(*value),
            Answer::Inject(exception) => Self::Inject(*exception),
            Answer::Emulate(bytes) => Self::Emulate(bytes.clone()),
        })
    }
}
