//! Writes that change a control register.
//!
//! ```
//! use oriel_sdk::cr::{Filter, Verdict, Write};
//!
//! const SMEP: u64 = 1 << 20;
//!
//! /// Once it is on, it stays on.
//! fn judge(write: Write) -> Verdict {
//!     if write.old & SMEP != 0 && write.new & SMEP == 0 {
//!         return Verdict::Replace(write.proposed | SMEP);
//!     }
//!     Verdict::Continue
//! }
//!
//! let filters = [Filter::bits(4, SMEP), Filter::one(3)];
//! assert_eq!((filters[0].changed, filters[1].changed), (SMEP, 0));
//! assert_eq!(judge(Write::new(4, SMEP, 0)), Verdict::Replace(SMEP));
//! ```

use crate::bindings::hears_cr::exports::oriel::introspection::judge_cr as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which register, and which of its bits.
pub use wit::Filter;

/// The answer to such a write.
pub type Verdict = verdict::Value<u64>;

/// A write that changes a control register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The register: 0, 3 or 4.
    pub cr: u8,
    /// What it holds.
    pub old: u64,
    /// What the guest writes.
    pub new: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Write {
    /// A write that no judge has seen yet.
    pub const fn new(cr: u8, old: u64, new: u64) -> Self {
        Self {
            cr,
            old,
            new,
            proposed: new,
        }
    }
}

impl Filter {
    /// Every change of this register.
    pub const fn one(cr: u8) -> Self {
        Self::bits(cr, 0)
    }

    /// A change of one of these bits of this register; no bits: of any.
    pub const fn bits(cr: u8, changed: u64) -> Self {
        Self {
            cr,
            changed,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Write {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Cr;

    fn meets(&self, filter: &Filter) -> bool {
        let changed = self.old ^ self.new;
        self.cr == filter.cr && (filter.changed == 0 || changed & filter.changed != 0)
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

    fn judge(at: Moment, cr: u8, old: u64, new: u64, proposed: u64) -> wit::Verdict {
        let write = Write {
            cr,
            old,
            new,
            proposed,
        };
        export::judge::<X, _>(&at, write).into()
    }
}
