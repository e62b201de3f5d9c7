//! Work by the clock. Owns the way to the `tick` interface; measures no time itself.

use crate::bindings::hears_tick::exports::oriel::introspection::tick as wit;
use crate::export::{self, Exported};
use crate::{Engine, Host, Policy};

/// Is called by the clock, as often as the manifest's `tick-ms` says, on an instance and a
/// thread of its own: it shares with the instances that judge by the store only.
///
/// ```
/// use oriel_sdk::{Metrics, Store, Tick};
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Reporter;
/// # impl Policy for Reporter {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
/// # }
///
/// impl Tick for Reporter {
///     fn tick(&mut self, _: u64, _: u32, host: &mut (impl Metrics + Store)) {
///         if let Ok(Some(seen)) = host.get_number("seen") {
///             host.gauge("seen", seen.try_into().unwrap_or(i64::MAX));
///         }
///     }
/// }
/// ```
pub trait Tick: Policy {
    /// `time_ns` as in [`Moment`](crate::Moment); `missed` is how many calls were left out
    /// since the last.
    fn tick(&mut self, time_ns: u64, missed: u32, host: &mut impl Host);
}

impl<X: Exported> wit::Guest for X
where
    X::Policy: Tick,
{
    fn tick(time_ns: u64, missed: u32) {
        export::policy::<X, _>(|policy| policy.tick(time_ns, missed, &mut Engine::here()));
    }
}
