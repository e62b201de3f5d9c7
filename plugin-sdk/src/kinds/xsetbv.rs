//! Writes to extended control registers (XSETBV).
//!
//! ```
//! use oriel_sdk::xsetbv::{Filter, Verdict, Write};
//!
//! /// No AVX-512 state here.
//! fn judge(write: Write) -> Verdict {
//!     if write.new & 0xe0 == 0 { Verdict::Continue } else { Verdict::Deny }
//! }
//!
//! assert_eq!(Filter::one(0).xcr, 0);
//! assert_eq!(judge(Write::new(0, 1, 0xe7)), Verdict::Deny);
//! ```

use crate::bindings::hears_xsetbv::exports::oriel::introspection::judge_xsetbv as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which register.
pub use wit::Filter;

/// The answer to such a write.
pub type Verdict = verdict::Value<u64>;

/// A write to an extended control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register's number.
    pub xcr: u8,
    /// What it holds.
    pub old: u64,
    /// What the guest writes.
    pub new: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Write {
    /// A write that no judge has seen yet.
    pub const fn new(xcr: u8, old: u64, new: u64) -> Self {
        Self {
            xcr,
            old,
            new,
            proposed: new,
        }
    }
}

impl Filter {
    /// Every write to this register.
    pub const fn one(xcr: u8) -> Self {
        Self {
            xcr,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Write {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Xsetbv;

    fn meets(&self, filter: &Filter) -> bool {
        self.xcr == filter.xcr
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

    fn judge(at: Moment, xcr: u8, old: u64, new: u64, proposed: u64) -> wit::Verdict {
        let write = Write {
            xcr,
            old,
            new,
            proposed,
        };
        export::judge::<X, _>(&at, write).into()
    }
}
