//! Breakpoints: a policy's own, and the guest's INT3s.
//!
//! ```
//! use oriel_sdk::breakpoint::{Filter, Hit, Verdict};
//!
//! const MODULE_LOAD: u64 = 1;
//!
//! fn judge(hit: Hit) -> Verdict {
//!     if hit.tag == MODULE_LOAD { Verdict::Skip } else { Verdict::Continue }
//! }
//!
//! let filters = [Filter::tagged(MODULE_LOAD..=MODULE_LOAD), Filter::own()];
//! assert!(!filters[1].unmanaged);
//! let hit = Hit { gva: 0x1000, gpa: 0x1000, length: 1, managed: true, tag: MODULE_LOAD };
//! assert_eq!(judge(hit), Verdict::Skip);
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_breakpoint::exports::oriel::introspection::judge_breakpoint as wit;
use crate::export::{self, Exported};
use crate::{Event, EventKind, Judge, Moment, Scope, verdict};

/// Which breakpoints: the policy's own by their tags, and whether nobody's too.
pub use wit::Filter;

/// The answer to a breakpoint: `Continue` steps over a managed one and raises #BP for any other,
/// `Retry` says that it is handled. Behind an access that was watched for (`at.retired`), only
/// `Continue`, `Crash` and `Inject` are possible.
pub type Verdict = verdict::Instruction;

/// A breakpoint was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its guest-virtual address; of a watchpoint, the watched one.
    pub gva: u64,
    /// Its guest-physical address; all ones if unknown.
    pub gpa: u64,
    /// How long its instruction is; of a watchpoint, how many bytes are watched.
    pub length: u8,
    /// It is this policy's own; otherwise an INT3 of the guest.
    pub managed: bool,
    /// The tag that the policy gave it, if it is managed.
    pub tag: u64,
}

impl Filter {
    /// Every one of the policy's own.
    pub const fn own() -> Self {
        Self::tagged(0..=u64::MAX)
    }

    /// The policy's own that have one of these tags.
    pub const fn tagged(tags: RangeInclusive<u64>) -> Self {
        Self {
            first_tag: *tags.start(),
            last_tag: *tags.end(),
            unmanaged: false,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Hit {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Breakpoint;

    fn meets(&self, filter: &Filter) -> bool {
        if self.managed {
            (filter.first_tag..=filter.last_tag).contains(&self.tag)
        } else {
            filter.unmanaged
        }
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
    X::Policy: Judge<Hit>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Hit>()
    }

    fn judge(at: Moment, gva: u64, gpa: u64, length: u8, managed: bool, tag: u64) -> wit::Verdict {
        let hit = Hit {
            gva,
            gpa,
            length,
            managed,
            tag,
        };
        export::judge::<X, _>(&at, hit).into()
    }
}
