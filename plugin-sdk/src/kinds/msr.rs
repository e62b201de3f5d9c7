//! Writes to model-specific registers (WRMSR).

use std::ops::RangeInclusive;

use crate::bindings::hears_msr::exports::oriel::introspection::judge_msr as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which registers, as a range.
pub use wit::Filter;

/// The answer to such a write.
pub type Verdict = verdict::Value<u64>;

/// A write to a model-specific register, changing it or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register's number.
    pub msr: u32,
    /// What it holds.
    pub old: u64,
    /// What the guest writes.
    pub new: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Write {
    /// A write that no judge has seen yet.
    pub const fn new(msr: u32, old: u64, new: u64) -> Self {
        Self {
            msr,
            old,
            new,
            proposed: new,
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

impl Event for Write {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Msr;

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
    X::Policy: Judge<Write>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Write>()
    }

    fn judge(at: Moment, msr: u32, old: u64, new: u64, proposed: u64) -> wit::Verdict {
        let write = Write {
            msr,
            old,
            new,
            proposed,
        };
        export::judge::<X, _>(&at, write).into()
    }
}
