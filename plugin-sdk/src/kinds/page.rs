//! Accesses that a page's rights forbid.
//!
//! ```
//! use oriel_sdk::Access;
//! use oriel_sdk::page::{Filter, Touch, Verdict};
//!
//! /// What is written there goes nowhere; what is read there is zeros.
//! fn judge(touch: &Touch) -> Verdict {
//!     match touch.value {
//!         Some(_) => Verdict::Skip,
//!         None => Verdict::Emulate(vec![0; touch.size.into()]),
//!     }
//! }
//!
//! let filters = [Filter::any(Access::EXECUTE), Filter::range(0x5000..=0x5fff, Access::WRITE)];
//! assert_eq!(filters[1].first, 0x5000);
//! let touch = Touch {
//!     gva: Some(0x5000),
//!     gpa: 0x5000,
//!     access: Access::WRITE,
//!     size: 8,
//!     value: Some(1),
//!     proposed: 1,
//!     tag: 0,
//! };
//! assert_eq!(judge(&touch), Verdict::Skip);
//! ```

use std::ops::RangeInclusive;

use crate::bindings::hears_page::exports::oriel::introspection::judge_page as wit;
use crate::export::{self, Exported};
use crate::verdict::{Answer, Instruction};
use crate::{Access, Event, EventKind, Exception, Judge, Moment, Scope, Verdicts};

/// Which addresses, and which kinds of access.
pub use wit::Filter;

/// An access that a page's rights forbid. One instruction is one event for each page that it touches so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The guest-virtual address, where the machine knows it.
    pub gva: Option<u64>,
    /// The guest-physical address.
    pub gpa: u64,
    /// How the page was touched.
    pub access: Access,
    /// How many bytes.
    pub size: u8,
    /// What is written or would be read, where the machine knows it.
    pub value: Option<u64>,
    /// That value as the judges before this one left it.
    pub proposed: u64,
    /// The tag that the policy gave the page.
    pub tag: u64,
}

/// The answer to such an access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it happen.
    Continue,
    /// Enter the guest at the same instruction again.
    Retry,
    /// Stop the VM with a report.
    Crash,
    /// For a write: what is stored instead.
    Replace(u64),
    /// Make the instruction fault with #GP(0).
    Deny,
    /// Go on behind the instruction, which has no effect.
    Skip,
    /// Raise this exception instead.
    Inject(Exception),
    /// For a read: what is read instead, at most 256 bytes from `gpa` on.
    Emulate(Vec<u8>),
    /// Lift the trap for this one instruction.
    Step,
}

impl Filter {
    /// These kinds of access, at any address.
    pub const fn any(access: Access) -> Self {
        Self::range(0..=u64::MAX, access)
    }

    /// These kinds of access, at these guest-physical addresses.
    pub const fn range(gpas: RangeInclusive<u64>, access: Access) -> Self {
        Self {
            first: *gpas.start(),
            last: *gpas.end(),
            access,
            scope: Scope::ANYWHERE,
        }
    }
}

impl Event for Touch {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Page;

    fn meets(&self, filter: &Filter) -> bool {
        (filter.first..=filter.last).contains(&self.gpa) && filter.access.intersects(self.access)
    }

    fn scope(filter: &Filter) -> &Scope {
        &filter.scope
    }
}

impl Answer for Verdict {
    const ALL: Verdicts = Instruction::ALL
        .union(Verdicts::REPLACE)
        .union(Verdicts::EMULATE)
        .union(Verdicts::STEP);

    fn kind(&self) -> Verdicts {
        match self {
            Self::Continue => Verdicts::CONTINUE,
            Self::Retry => Verdicts::RETRY,
            Self::Crash => Verdicts::CRASH,
            Self::Replace(_) => Verdicts::REPLACE,
            Self::Deny => Verdicts::DENY,
            Self::Skip => Verdicts::SKIP,
            Self::Inject(_) => Verdicts::INJECT,
            Self::Emulate(_) => Verdicts::EMULATE,
            Self::Step => Verdicts::STEP,
        }
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
            Verdict::Emulate(bytes) => Self::Emulate(bytes),
            Verdict::Step => Self::Step,
        }
    }
}

/// The kinds of access among the flags of a touch.
fn access(touch: wit::Touch) -> Access {
    let kinds = [
        (wit::Touch::READ, Access::READ),
        (wit::Touch::WRITE, Access::WRITE),
        (wit::Touch::EXECUTE, Access::EXECUTE),
    ];
    let named = kinds.iter().filter(|(flag, _)| touch.contains(*flag));
    named.map(|(_, access)| *access).collect()
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Touch>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Touch>()
    }

    fn judge(
        at: Moment,
        gva: u64,
        gpa: u64,
        touch: wit::Touch,
        size: u8,
        value: u64,
        proposed: u64,
        tag: u64,
    ) -> wit::Verdict {
        let touch = Touch {
            gva: touch.contains(wit::Touch::GVA_KNOWN).then_some(gva),
            gpa,
            access: access(touch),
            size,
            value: touch.contains(wit::Touch::VALUE_KNOWN).then_some(value),
            proposed,
            tag,
        };
        export::judge::<X, _>(&at, touch).into()
    }
}
