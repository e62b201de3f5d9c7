//! Hypercalls (VMCALL, VMMCALL).
//!
//! ```
//! use oriel_sdk::hypercall::{Call, Filter, Verdict};
//!
//! const OURS: u64 = 34;
//!
//! /// The guest sees 24 in RAX.
//! fn judge(call: Call) -> Verdict {
//!     if call.number == OURS { Verdict::Replace(call.a) } else { Verdict::Deny }
//! }
//!
//! let filters = [Filter::one(OURS), Filter::range(0..=10)];
//! assert_eq!(filters[1].last, 10);
//! assert_eq!(judge(Call { number: OURS, a: 24, b: 0, c: 0 }), Verdict::Replace(24));
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_hypercall::exports::oriel::introspection::judge_hypercall as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which hypercalls, as a range of numbers.
pub use wit::Filter;

/// The answer to a hypercall: `Replace` sets what the guest sees in RAX.
pub type Verdict = verdict::Value<u64>;

/// A hypercall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its first argument.
    pub a: u64,
    /// Its second argument.
    pub b: u64,
    /// Its third argument.
    pub c: u64,
}

impl Filter {
    /// One number.
    pub const fn one(number: u64) -> Self {
        Self::range(number..=number)
    }

    /// A range of numbers.
    pub const fn range(numbers: RangeInclusive<u64>) -> Self {
        Self {
            first: *numbers.start(),
            last: *numbers.end(),
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Call {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Hypercall;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.number)
    }

    fn scope(filter: &Filter) -> &Scope {
        &filter.scope
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Retry => Self::Retry,
            Verdict::Crash => Self::Crash,
            Verdict::Replace(value) => Self::Replace(value),
            Verdict::Deny => Self::Deny,
            Verdict::Skip => Self::Skip,
            Verdict::Inject(exception) => Self::Inject(exception),
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Call>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Call>()
    }

    fn judge(at: Moment, number: u64, a: u64, b: u64, c: u64) -> wit::Verdict {
        export::judge::<X, _>(&at, Call { number, a, b, c }).into()
    }
}
