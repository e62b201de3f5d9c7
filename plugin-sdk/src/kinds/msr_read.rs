//! Reads of model-specific registers (RDMSR).
//!
//! ```
//! use oriel_sdk::msr;
//! use oriel_sdk::msr_read::{Filter, Read, Verdict};
//!
//! /// The guest is told that it has no time-stamp of its own.
//! fn judge(read: Read) -> Verdict {
//!     if read.value == 0 { Verdict::Continue } else { Verdict::Replace(0) }
//! }
//!
//! let filters = [Filter::one(0x10), Filter::range(msr::FS_BASE..=msr::KERNEL_GS_BASE)];
//! assert_eq!(filters[0].last, 0x10);
//! assert_eq!(judge(Read::new(0x10, 7)), Verdict::Replace(0));
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_msr_read::exports::oriel::introspection::judge_msr_read as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which registers, as a range.
pub use wit::Filter;

/// The answer to such a read.
pub type Verdict = verdict::Value<u64>;

/// A read of a model-specific register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// The register's number.
    pub msr: u32,
    /// What it holds.
    pub value: u64,
    /// What the guest would see, as the judges before this one left it.
    pub proposed: u64,
}

impl Read {
    /// A read that no judge has seen yet.
    pub const fn new(msr: u32, value: u64) -> Self {
        Self {
            msr,
            value,
            proposed: value,
        }
    }
}

impl Filter {
    /// One register.
    pub const fn one(msr: u32) -> Self {
        Self::range(msr..=msr)
    }

    /// A range of registers.
    pub const fn range(msrs: RangeInclusive<u32>) -> Self {
        Self {
            first: *msrs.start(),
            last: *msrs.end(),
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Read {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::MsrRead;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.msr)
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
    X::Policy: Judge<Read>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Read>()
    }

    fn judge(at: Moment, msr: u32, value: u64, proposed: u64) -> wit::Verdict {
        let read = Read {
            msr,
            value,
            proposed,
        };
        export::judge::<X, _>(&at, read).into()
    }
}
