//! The guest's resets.
//!
//! ```
//! use oriel_sdk::reset::{Filter, Reset, Verdict};
//! use oriel_sdk::{Scope, Store};
//!
//! /// What the guest had set up is gone, so what was remembered of it goes too.
//! fn judge(_: Reset, host: &mut impl Store) -> Verdict {
//!     match host.remove_key("lstar") {
//!         Ok(_) => Verdict::Continue,
//!         Err(_) => Verdict::Crash,
//!     }
//! }
//!
//! let everywhere = Filter { scope: Scope::ANYWHERE };
//! assert!(everywhere.scope.rings.is_empty());
//! ```

use crate::bindings::hears_reset::exports::oriel::introspection::judge_reset as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Where the guest resets itself.
pub use wit::Filter;

/// The answer to a reset.
pub type Verdict = verdict::Fact;

/// The guest resets itself; what it had set up is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset;

impl Event for Reset {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Reset;

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
    X::Policy: Judge<Reset>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Reset>()
    }

    fn judge(at: Moment) -> wit::Verdict {
        export::judge::<X, _>(&at, Reset).into()
    }
}
