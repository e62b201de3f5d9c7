//! What it takes to judge events of one kind: the two traits that all kinds share.
//!
//! An author implements [`Judge`]; a kind of event implements [`Event`], in `kinds`. Whether an
//! event reaches a policy at all is the engine's business, by the filters named here.

use crate::native::Native;
use crate::verdict::Answer;
use crate::{EventKind, Host, Moment, Policy, Scope};

/// Judges events of one kind: `impl Judge<msr::Write>` hears what `export!(…: msr)` exports.
///
/// The bound on `host` may be narrower than [`Host`]: say which rights the judge uses, and the
/// compiler holds you to it.
///
/// ```
/// use oriel_sdk::{Judge, Moment, Store, msr};
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Counter;
/// # impl Policy for Counter {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Counter) }
/// # }
///
/// impl Judge<msr::Write> for Counter {
///     fn filters(&self) -> Vec<msr::Filter> {
///         vec![msr::Filter::one(msr::EFER)]
///     }
///
///     fn judge(&mut self, _: &Moment, write: msr::Write, host: &mut impl Store) -> msr::Verdict {
///         match host.add_number(&format!("writes/{:x}", write.msr), 1) {
///             Ok(_) => msr::Verdict::Continue,
///             Err(_) => msr::Verdict::Deny,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not judge `{E}`",
    note = "every kind that `export!` names needs an `impl Judge<…>` of the policy"
)]
pub trait Judge<E: Event>: Policy {
    /// Which events it wants: those that meet at least one of these; none named: all that the
    /// operator granted. Asked once for each revision, of an instance that was made for it.
    fn filters(&self) -> Vec<E::Filter> {
        Vec::new()
    }

    /// Answers one event.
    fn judge(&mut self, at: &Moment, event: E, host: &mut impl Host) -> E::Verdict;
}

/// A kind of event that can be judged. Implemented by the kinds only.
///
/// ```
/// use oriel_sdk::{Event, EventKind, Scope, msr};
///
/// let write = msr::Write::new(msr::LSTAR, 0, 1);
/// let filter = msr::Filter::one(msr::LSTAR);
/// assert!(write.meets(&filter));
/// assert_eq!(<msr::Write as Event>::scope(&filter).cr3, None);
/// assert_eq!(<msr::Write as Event>::KIND, EventKind::Msr);
/// ```
pub trait Event: Native {
    /// What narrows it down.
    type Filter;
    /// What it is answered by.
    type Verdict: Answer;
    /// Its canonical name.
    const KIND: EventKind;

    /// Whether it is one that the filter asks for, wherever it happened.
    fn meets(&self, filter: &Self::Filter) -> bool;

    /// Where the filter asks for it.
    fn scope(filter: &Self::Filter) -> &Scope;
}

/// Whether filters let an event through to their judge, as the engine decides it.
pub(crate) fn is_wanted<E: Event>(filters: &[E::Filter], at: &Moment, event: &E) -> bool {
    let accepts = |filter: &E::Filter| event.meets(filter) && E::scope(filter).covers(at);
    filters.is_empty() || filters.iter().any(accepts)
}
