//! What an instance carries over a swap. Owns the way to the `state` interface; keeps nothing.

use crate::bindings::hears_state::exports::oriel::introspection::state as wit;
use crate::export::{self, Exported};
use crate::{Engine, Failure, Host, Policy};

/// What was saved, and the author's own version of its shape.
pub use wit::Saved;

/// Hands what an instance knows to the instance that follows it, when the operator swaps a
/// revision for another. A trap hands over nothing: for that there is [`Store`](crate::Store).
///
/// ```
/// use oriel_sdk::{Failure, Host, State, state::Saved};
/// # use oriel_sdk::{Config, Place, Policy};
/// # struct Counter { seen: u8 }
/// # impl Policy for Counter {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
/// #         Ok(Counter { seen: 0 })
/// #     }
/// # }
///
/// impl State for Counter {
///     fn save(&mut self, _: &mut impl Host) -> Result<Saved, Failure> {
///         Ok(Saved { schema: 1, data: vec![self.seen] })
///     }
///
///     fn restore(&mut self, saved: Saved, _: u64, _: &mut impl Host) -> Result<(), Failure> {
///         match (saved.schema, saved.data.as_slice()) {
///             (1, &[seen]) => self.seen = seen,
///             (schema, _) => return Err(format!("unknown schema {schema}").into()),
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait State: Policy {
    /// Called on the instance that goes, between two events.
    ///
    /// # Errors
    /// The swap does not take place.
    fn save(&mut self, host: &mut impl Host) -> Result<Saved, Failure>;

    /// Called on the instance that comes, after [`Policy::init`]; `revision` is the one that
    /// saved.
    ///
    /// # Errors
    /// The swap does not take place.
    fn restore(&mut self, saved: Saved, revision: u64, host: &mut impl Host)
    -> Result<(), Failure>;
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: State,
{
    fn save() -> Result<Saved, String> {
        export::policy::<X, _>(|policy| Ok(policy.save(&mut Engine::here())?))
    }

    fn restore(saved: Saved, revision: u64) -> Result<(), String> {
        export::policy::<X, _>(|policy| Ok(policy.restore(saved, revision, &mut Engine::here())?))
    }
}
