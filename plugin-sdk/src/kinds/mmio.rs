//! Accesses to guest-physical memory that is not RAM.
//!
//! ```
//! use oriel_sdk::mmio::{Filter, Transfer, Verdict};
//!
//! fn judge(transfer: Transfer) -> Verdict {
//!     if transfer.write { Verdict::Continue } else { Verdict::Replace(0) }
//! }
//!
//! assert_eq!(Filter::range(0xfed0_0000..=0xfed0_0fff).first, 0xfed0_0000);
//! let load = Transfer { gpa: 0xfed0_0000, write: false, size: 4, value: 7, proposed: 7 };
//! assert_eq!(judge(load), Verdict::Replace(0));
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_mmio::exports::oriel::introspection::judge_mmio as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which addresses, and whether reads, writes, or both.
pub use wit::Filter;

/// The answer to a transfer.
pub type Verdict = verdict::Value<u64>;

/// An access to guest-physical memory that is not RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The guest-physical address.
    pub gpa: u64,
    /// It is a write.
    pub write: bool,
    /// How many bytes.
    pub size: u8,
    /// What is written or read.
    pub value: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Filter {
    /// Reads and writes of these addresses.
    pub const fn range(gpas: RangeInclusive<u64>) -> Self {
        Self {
            first: *gpas.start(),
            last: *gpas.end(),
            reads: true,
            writes: true,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Transfer {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Mmio;

    fn meets(&self, filter: &Filter) -> bool {
        let direction = if self.write {
            filter.writes
        } else {
            filter.reads
        };
        (filter.first..=filter.last).contains(&self.gpa) && direction
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
    X::Policy: Judge<Transfer>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Transfer>()
    }

    fn judge(
        at: Moment,
        gpa: u64,
        write: bool,
        size: u8,
        value: u64,
        proposed: u64,
    ) -> wit::Verdict {
        let transfer = Transfer {
            gpa,
            write,
            size,
            value,
            proposed,
        };
        export::judge::<X, _>(&at, transfer).into()
    }
}
