//! Executions of CPUID.
//!
//! ```
//! use oriel_sdk::CpuidLeaf;
//! use oriel_sdk::cpuid::{Filter, Query, Verdict};
//!
//! const HYPERVISOR: u32 = 1 << 31;
//!
//! /// The guest is told that it runs by itself.
//! fn judge(query: Query) -> Verdict {
//!     Verdict::Replace(CpuidLeaf { ecx: query.proposed.ecx & !HYPERVISOR, ..query.proposed })
//! }
//!
//! let filters = [Filter::one(1), Filter::range(0x4000_0000..=0x4000_00ff)];
//! assert_eq!(filters[0].last, 1);
//! let leaf = CpuidLeaf { eax: 1, ebx: 0, ecx: HYPERVISOR | 1, edx: 0 };
//! let query = Query { function: 1, index: 0, proposed: leaf };
//! assert_eq!(judge(query), Verdict::Replace(CpuidLeaf { ecx: 1, ..leaf }));
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_cpuid::exports::oriel::introspection::judge_cpuid as wit;
use crate::export::{self, Exported};
use crate::{CpuidLeaf, Event, EventKind, Judge, Moment, Scope, verdict};

/// Which functions, as a range.
pub use wit::Filter;

/// The answer to a query.
pub type Verdict = verdict::Value<CpuidLeaf>;

/// CPUID was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The function that is asked for (EAX).
    pub function: u32,
    /// Its index (ECX).
    pub index: u32,
    /// What the guest would see, as the judges before this one left it.
    pub proposed: CpuidLeaf,
}

impl Filter {
    /// One function.
    pub const fn one(function: u32) -> Self {
        Self::range(function..=function)
    }

    /// A range of functions.
    pub const fn range(functions: RangeInclusive<u32>) -> Self {
        Self {
            first: *functions.start(),
            last: *functions.end(),
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Query {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Cpuid;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.function)
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
            Verdict::Replace(leaf) => Self::Replace(leaf),
            Verdict::Deny => Self::Deny,
            Verdict::Skip => Self::Skip,
            Verdict::Inject(exception) => Self::Inject(exception),
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Query>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Query>()
    }

    fn judge(at: Moment, function: u32, index: u32, proposed: CpuidLeaf) -> wit::Verdict {
        let query = Query {
            function,
            index,
            proposed,
        };
        export::judge::<X, _>(&at, query).into()
    }
}
