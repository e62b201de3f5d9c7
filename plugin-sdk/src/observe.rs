//! Seeing events without judging them. Owns the way to the `observe` interface; what is
//! observed here can be sampled and dropped, so nothing that protects may depend on each one.

use crate::bindings::hears_observe::exports::oriel::introspection::observe as wit;
use crate::export::{self, Exported};
use crate::{Engine, EventKind, Host, Moment, Policy, Scope};

/// Which events of one kind are to be seen, and how many of them.
pub use wit::Filter;

/// An event, as far as all kinds are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its kind.
    pub kind: EventKind,
    /// The first four values of that kind's event, in the order of its fields.
    pub values: [u64; 4],
}

/// Sees events of any kind, without a verdict.
///
/// ```
/// use oriel_sdk::{EventKind, Metrics, Moment, Observe, observe};
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Census;
/// # impl Policy for Census {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
/// # }
///
/// impl Observe for Census {
///     fn filters(&self) -> Vec<observe::Filter> {
///         let all = observe::Filter::of(EventKind::Cpuid);
///         vec![observe::Filter { one_in: 100, ..all }]
///     }
///
///     fn observe(&mut self, _: &Moment, _: observe::Seen, host: &mut impl Metrics) {
///         host.count("hundred-cpuids", 1);
///     }
/// }
/// ```
pub trait Observe: Policy {
    /// Which events it wants; none named: all that the operator granted.
    fn filters(&self) -> Vec<Filter> {
        Vec::new()
    }

    /// Sees one event.
    fn observe(&mut self, at: &Moment, seen: Seen, host: &mut impl Host);
}

impl Filter {
    /// Every event of this kind, wherever it happens.
    pub const fn of(kind: EventKind) -> Self {
        Self {
            kind,
            one_in: 1,
            per_second: 0,
            scope: Scope::ANYWHERE,
        }
    }
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Observe,
{
    fn filters() -> Vec<Filter> {
        export::policy::<X, _>(|policy| policy.filters())
    }

    fn observe(at: Moment, kind: EventKind, a: u64, b: u64, c: u64, d: u64) {
        let values = [a, b, c, d];
        export::policy::<X, _>(|policy| {
            policy.observe(&at, Seen { kind, values }, &mut Engine::here());
        });
    }
}
