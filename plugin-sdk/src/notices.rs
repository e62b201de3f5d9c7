//! Events that are told and not judged: a vCPU was made or paused, introspection ends.
//!
//! Owns the way to the three `notice` interfaces. Nothing here can refuse anything.

use crate::bindings::{hears_create_vcpu, hears_pause, hears_unhook};
use crate::export::{self, Exported};
use crate::{Engine, Host, Moment, Policy};

use hears_create_vcpu::exports::oriel::introspection::notice_create_vcpu;
use hears_pause::exports::oriel::introspection::notice_pause;
use hears_unhook::exports::oriel::introspection::notice_unhook;

/// Hears of new vCPUs.
///
/// ```
/// use oriel_sdk::{CreateVcpu, Level, Log, Moment};
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Greeter;
/// # impl Policy for Greeter {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Self) }
/// # }
///
/// impl CreateVcpu for Greeter {
///     fn created(&mut self, at: &Moment, host: &mut impl Log) {
///         host.log(Level::Info, &format!("vCPU {} is there", at.vcpu));
///     }
/// }
/// ```
pub trait CreateVcpu: Policy {
    /// A vCPU was made.
    fn created(&mut self, at: &Moment, host: &mut impl Host);
}

/// Hears of pauses.
///
/// ```
/// use oriel_sdk::{Metrics, Moment, Pause, Plain};
///
/// #[derive(Default)]
/// struct Patience;
///
/// impl Plain for Patience {}
///
/// impl Pause for Patience {
///     fn paused(&mut self, _: &Moment, host: &mut impl Metrics) {
///         host.count("pauses", 1);
///     }
/// }
/// ```
pub trait Pause: Policy {
    /// A vCPU was paused by a judge.
    fn paused(&mut self, at: &Moment, host: &mut impl Host);
}

/// Hears of the end.
///
/// ```
/// use oriel_sdk::{Log, Plain, Unhook};
///
/// #[derive(Default)]
/// struct Polite;
///
/// impl Plain for Polite {}
///
/// impl Unhook for Polite {
///     fn unhooking(&mut self, host: &mut impl Log) {
///         host.info("goodbye");
///     }
/// }
/// ```
pub trait Unhook: Policy {
    /// Introspection of this VM is about to end.
    fn unhooking(&mut self, host: &mut impl Host);
}

impl<X: Exported> notice_create_vcpu::Guest for X
where
    X::Policy: CreateVcpu,
{
    fn created(at: Moment) {
        export::policy::<X, _>(|policy| policy.created(&at, &mut Engine::here()));
    }
}

impl<X: Exported> notice_pause::Guest for X
where
    X::Policy: Pause,
{
    fn paused(at: Moment) {
        export::policy::<X, _>(|policy| policy.paused(&at, &mut Engine::here()));
    }
}

impl<X: Exported> notice_unhook::Guest for X
where
    X::Policy: Unhook,
{
    fn unhooking() {
        export::policy::<X, _>(|policy| policy.unhooking(&mut Engine::here()));
    }
}
