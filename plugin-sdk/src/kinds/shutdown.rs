//! The guest's shutdowns.
//!
//! ```
//! use oriel_sdk::Scope;
//! use oriel_sdk::shutdown::{Cause, Filter, Shutdown, Verdict};
//!
//! /// A triple fault is worth a report.
//! fn judge(shutdown: Shutdown) -> Verdict {
//!     if shutdown.cause == Cause::TripleFault { Verdict::Crash } else { Verdict::Continue }
//! }
//!
//! let everywhere = Filter { scope: Scope::ANYWHERE };
//! assert!(everywhere.scope.cr3.is_none());
//! assert_eq!(judge(Shutdown { cause: Cause::Request }), Verdict::Continue);
//! ```

use crate::bindings::hears_shutdown::exports::oriel::introspection::judge_shutdown as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Why a guest shuts down.
pub use wit::Cause;
/// Where the guest shuts down.
pub use wit::Filter;

/// The answer to a shutdown.
pub type Verdict = verdict::Fact;

/// The guest shuts down: a triple fault, or its own wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Why.
    pub cause: Cause,
}

impl Event for Shutdown {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Shutdown;

    fn meets(&self, _: &Filter) -> bool {
        true
    }

    fn scope(filter: &Filter) -> &Scope {
        &filter.scope
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Crash => Self::Crash,
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Shutdown>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Shutdown>()
    }

    fn judge(at: Moment, cause: Cause) -> wit::Verdict {
        export::judge::<X, _>(&at, Shutdown { cause }).into()
    }
}
