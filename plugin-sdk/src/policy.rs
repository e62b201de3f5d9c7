//! How an instance of a policy begins.
//!
//! Owns the way from the `lifecycle` interface to [`Policy::init`]. Judges nothing.

use std::fmt::Display;

use crate::bindings::hears_lifecycle::exports::oriel::introspection::lifecycle as wit;
use crate::export::Exported;
use crate::{Config, Engine, Host, Setting, panic};

/// What an instance is for.
pub use wit::Place;

/// A policy. The value is one *instance*: there is one for each vCPU, or one for the VM, as the
/// manifest says, and the engine drops it when it traps or misses its deadline. What must
/// survive that belongs into the [`Store`](crate::Store).
///
/// ```
/// use oriel_sdk::{Config, Failure, Host, Place, Policy};
///
/// struct Quota {
///     limit: u64,
/// }
///
/// impl Policy for Quota {
///     fn init(config: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
///         let limit = config.get_or("limit", 100)?;
///         if limit == 0 {
///             return Err("`limit` must not be 0".into());
///         }
///         Ok(Self { limit })
///     }
/// }
/// ```
pub trait Policy: Sized + 'static {
    /// Makes an instance, before anything else is asked of it. A failure refuses the policy.
    /// Settings that were never asked for are refused afterwards, so no misspelt one is lost.
    ///
    /// With [`Place::Probe`] it is made only to be asked for its filters; what it asks of the
    /// host is refused then, save the log.
    fn init(config: &mut Config, place: Place, host: &mut impl Host) -> Result<Self, Failure>;
}

/// A policy without settings, whose instances begin as their [`Default`]: it is a [`Policy`] with
/// nothing to write.
///
/// ```
/// use oriel_sdk::{Judge, Metrics, Moment, Plain, cpuid};
///
/// #[derive(Default)]
/// struct Count {
///     seen: u64,
/// }
///
/// impl Plain for Count {}
///
/// impl Judge<cpuid::Query> for Count {
///     fn judge(&mut self, _: &Moment, _: cpuid::Query, host: &mut impl Metrics) -> cpuid::Verdict {
///         self.seen += 1;
///         host.record("seen", self.seen);
///         cpuid::Verdict::Continue
///     }
/// }
/// ```
pub trait Plain: Default + 'static {}

impl<P: Plain> Policy for P {
    fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> {
        Ok(P::default())
    }
}

/// Why an instance could not begin, save or restore, in words for the operator.
///
/// Anything that can be shown becomes one, so `?` works on every error and `.into()` on a text.
///
/// ```
/// use oriel_sdk::Failure;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     Ok(text.parse()?)
/// }
///
/// assert!(port("eighty").is_err_and(|failure| failure.as_str().contains("digit")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// `Failure` itself is not `Display`, or this would collide with `From<Failure>`.
impl<E: Display> From<E> for Failure {
    fn from(reason: E) -> Self {
        Self(reason.to_string())
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

/// Makes an instance and sees to it that it knows all of its configuration.
pub(crate) fn begin<P: Policy>(
    mut config: Config,
    place: Place,
    host: &mut impl Host,
) -> Result<P, Failure> {
    let policy = P::init(&mut config, place, host)?;
    config.finish()?;
    Ok(policy)
}

impl<X: Exported> wit::Guest for X {
    fn init(config: Vec<(String, Setting)>, place: Place) -> Result<(), String> {
        panic::report_to_the_log();
        let policy = begin(config.into(), place, &mut Engine::here())?;
        X::slot(|slot| *slot = Some(policy));
        Ok(())
    }
}
