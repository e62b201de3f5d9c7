//! Single steps.
//!
//! ```
//! use oriel_sdk::Scope;
//! use oriel_sdk::singlestep::{Filter, Step, Verdict};
//!
//! fn judge(step: Step) -> Verdict {
//!     if step.failed { Verdict::Crash } else { Verdict::Continue }
//! }
//!
//! let everywhere = Filter { scope: Scope::ANYWHERE };
//! assert!(everywhere.scope.cr3.is_none());
//! assert_eq!(judge(Step { failed: false }), Verdict::Continue);
//! ```

use crate::bindings::hears_singlestep::exports::oriel::introspection::judge_singlestep as wit;
use crate::export::{self, Exported};
use crate::verdict::{Answer, Fact};
use crate::{Event, EventKind, Exception, Judge, Moment, Scope, Verdicts};

/// Where the steps are.
pub use wit::Filter;

/// One instruction was stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// It could not be stepped.
    pub failed: bool,
}

/// The answer to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Stop the VM with a report.
    Crash,
    /// Raise this exception.
    Inject(Exception),
}

impl Event for Step {
    type Filter = Filter;
    type Verdict = Verdict;
    const KIND: EventKind = EventKind::Singlestep;

    fn meets(&self, _: &Filter) -> bool {
        true
    }

    fn scope(filter: &Filter) -> &Scope {
        &filter.scope
    }
}

impl Answer for Verdict {
    const ALL: Verdicts = Fact::ALL.union(Verdicts::INJECT);

    fn kind(&self) -> Verdicts {
        match self {
            Self::Continue => Verdicts::CONTINUE,
            Self::Crash => Verdicts::CRASH,
            Self::Inject(_) => Verdicts::INJECT,
        }
    }
}

impl From<Verdict> for wit::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Crash => Self::Crash,
            Verdict::Inject(exception) => Self::Inject(exception),
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Judge<Step>,
{
    fn filters() -> Vec<Filter> {
        export::filters::<X, Step>()
    }

    fn judge(at: Moment, failed: bool) -> wit::Verdict {
        export::judge::<X, _>(&at, Step { failed }).into()
    }
}
