//! Stores and loads of the descriptor-table registers.
//!
//! ```
//! use oriel_sdk::descriptor::{Filter, Table, Use, Verdict};
//!
//! /// The interrupt table is set once, at boot.
//! fn judge(used: Use) -> Verdict {
//!     if used.write && used.table == Table::Idtr { Verdict::Deny } else { Verdict::Continue }
//! }
//!
//! assert!(!Filter::writes(Table::Idtr).reads);
//! assert_eq!(judge(Use { table: Table::Idtr, write: true }), Verdict::Deny);
//! ```

use crate::bindings::hears_descriptor::exports::oriel::introspection::judge_descriptor as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which table, and whether stores of its register, loads, or both.
pub use wit::Filter;
/// A descriptor-table register.
pub use wit::Table;

/// The answer to such a use.
pub type Verdict = verdict::Instruction;

/// A descriptor-table register was stored (SIDT, …) or loaded (LIDT, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The register.
    pub table: Table,
    /// It is loaded: its value changes.
    pub write: bool,
}

impl Filter {
    /// Loads of this register.
    pub const fn writes(table: Table) -> Self {
        Self {
            table,
            reads: false,
            writes: true,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Use {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Descriptor;

    fn meets(&self, filter: &Filter) -> bool {
        let direction = if self.write {
            filter.writes
        } else {
            filter.reads
        };
        self.table == filter.table && direction
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
            Verdict::Deny => Self::Deny,
            Verdict::Skip => Self::Skip,
            Verdict::Inject(exception) => Self::Inject(exception),
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Use>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Use>()
    }

    fn judge(at: Moment, table: Table, write: bool) -> wit::Verdict {
        export::judge::<X, _>(&at, Use { table, write }).into()
    }
}
