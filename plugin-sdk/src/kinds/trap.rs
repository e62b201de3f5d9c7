//! Deliveries of exceptions that Oriel injected.
//!
//! ```
//! use oriel_sdk::trap::{Delivery, Filter, Verdict};
//!
//! const GENERAL_PROTECTION: u8 = 13;
//!
//! fn judge(trap: Delivery) -> Verdict {
//!     assert!(trap.vector <= 31);
//!     Verdict::Continue
//! }
//!
//! let filters = [Filter::one(GENERAL_PROTECTION), Filter::range(0..=31)];
//! assert_eq!(filters[0].last, 13);
//! let trap = Delivery { vector: GENERAL_PROTECTION, error_code: Some(0), address: 0 };
//! assert_eq!(judge(trap), Verdict::Continue);
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_trap::exports::oriel::introspection::judge_trap as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which exceptions, as a range of vectors.
pub use wit::Filter;

/// The answer to a delivery.
pub type Verdict = verdict::Fact;

/// An exception that Oriel injected was delivered, or another one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The vector that was delivered.
    pub vector: u8,
    /// Its error code, where it has one.
    pub error_code: Option<u32>,
    /// For a page fault: the address in CR2.
    pub address: u64,
}

impl Filter {
    /// One vector.
    pub const fn one(vector: u8) -> Self {
        Self::range(vector..=vector)
    }

    /// A range of vectors.
    pub const fn range(vectors: RangeInclusive<u8>) -> Self {
        Self {
            first: *vectors.start(),
            last: *vectors.end(),
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Delivery {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Trap;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.vector)
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
    X::Policy: Judge<Delivery>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Delivery>()
    }

    fn judge(at: Moment, vector: u8, error_code: Option<u32>, address: u64) -> wit::Verdict {
        let delivery = Delivery {
            vector,
            error_code,
            address,
        };
        export::judge::<X, _>(&at, delivery).into()
    }
}
