//! Input from ports and output to them.
//!
//! ```
//! use oriel_sdk::pio::{Filter, Transfer, Verdict};
//!
//! /// Nobody touches PCI configuration by its old ports.
//! fn judge(transfer: Transfer) -> Verdict {
//!     if transfer.write { Verdict::Skip } else { Verdict::Continue }
//! }
//!
//! assert_eq!(Filter::range(0xcf8..=0xcff).last, 0xcff);
//! let out = Transfer { port: 0xcf8, write: true, size: 4, count: 1, value: 1, proposed: 1 };
//! assert_eq!(judge(out), Verdict::Skip);
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_pio::exports::oriel::introspection::judge_pio as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which ports, and whether reads, writes, or both.
pub use wit::Filter;

/// The answer to a transfer.
pub type Verdict = verdict::Value<u64>;

/// Port input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The port.
    pub port: u16,
    /// It is output.
    pub write: bool,
    /// The size of an element, in bytes.
    pub size: u8,
    /// How many elements.
    pub count: u32,
    /// The first element.
    pub value: u64,
    /// That value as the judges before this one left it.
    pub proposed: u64,
}

impl Filter {
    /// Reads and writes of these ports.
    pub const fn range(ports: RangeInclusive<u16>) -> Self {
        Self {
            first: *ports.start(),
            last: *ports.end(),
            reads: true,
            writes: true,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Transfer {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Pio;

    fn meets(&self, filter: &Filter) -> bool {
        let direction = if self.write {
            filter.writes
        } else {
            filter.reads
        };
        (filter.first..=filter.last).contains(&self.port) && direction
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
        port: u16,
        write: bool,
        size: u8,
        count: u32,
        value: u64,
        proposed: u64,
    ) -> wit::Verdict {
        let transfer = Transfer {
            port,
            write,
            size,
            count,
            value,
            proposed,
        };
        export::judge::<X, _>(&at, transfer).into()
    }
}
