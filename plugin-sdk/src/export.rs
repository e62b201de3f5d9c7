//! From a policy's type to the exports of a component.
//!
//! [`export!`](crate::export!) expands to a place for the one instance and to the exports of the
//! kinds it names; each kind's file holds what its exports call. Natively the macro checks that the
//! policy judges what it exports, and says what that is to whoever plays the engine: two policies
//! live in one test binary without a clash.

use crate::{
    CreateVcpu, Engine, Event, Judge, Moment, Observe, Pause, Policy, State, Tick, Unhook,
};

/// A component's instance: what the exports of a component reach their policy through.
/// Implemented by [`export!`](crate::export!) only.
pub trait Exported {
    /// The policy.
    type Policy: Policy;

    /// Runs something on the place where the instance is.
    fn slot<R>(run: impl FnOnce(&mut Option<Self::Policy>) -> R) -> R;
}

/// What a policy exports, natively. Implemented by [`export!`](crate::export!) only.
pub trait Exports: Policy {
    /// Tells each of its exports.
    fn tell(to: &mut impl Told<Self>);
}

/// Who wants to know what a policy exports.
pub trait Told<P: Policy> {
    /// It judges these events.
    fn judges<E: Event>(&mut self)
    where
        P: Judge<E>;
    /// It observes.
    fn observes(&mut self)
    where
        P: Observe;
    /// It is called by the clock.
    fn ticks(&mut self)
    where
        P: Tick;
    /// It carries its state over a swap.
    fn saves(&mut self)
    where
        P: State;
    /// It hears of new vCPUs.
    fn hears_of_vcpus(&mut self)
    where
        P: CreateVcpu;
    /// It hears of pauses.
    fn hears_of_pauses(&mut self)
    where
        P: Pause;
    /// It hears of the end.
    fn hears_of_the_end(&mut self)
    where
        P: Unhook;
}

/// Runs something on the instance. The engine calls `init` before anything else.
pub(crate) fn policy<X: Exported, R>(run: impl FnOnce(&mut X::Policy) -> R) -> R {
    X::slot(|slot| run(slot.as_mut().expect("`init` comes first")))
}

/// What `filters` of a kind answers.
pub(crate) fn filters<X, E>() -> Vec<E::Filter>
where
    X: Exported,
    X::Policy: Judge<E>,
    E: Event,
{
    policy::<X, _>(|policy| policy.filters())
}

/// What `judge` of a kind answers.
pub(crate) fn judge<X, E>(at: &Moment, event: E) -> E::Verdict
where
    X: Exported,
    X::Policy: Judge<E>,
    E: Event,
{
    policy::<X, _>(|policy| policy.judge(at, event, &mut Engine::here()))
}

/// Makes a component of a policy: `export!(Guard: msr, reset, state);`.
///
/// The kinds that can be named are those of [`Judge`] (`cr`, `msr`, `msr_read`, `xsetbv`,
/// `breakpoint`, `hypercall`, `page`, `trap`, `descriptor`, `singlestep`, `cpuid`, `pio`,
/// `mmio`, `reset`, `shutdown`), the notices `create_vcpu`, `pause` and `unhook`, and `observe`,
/// `state` and `tick`. Only what is named is exported, and the policy must have the trait of
/// each. One `export!` a crate.
///
/// A kind that the policy does not judge is an error, and so is one that does not exist:
///
/// ```compile_fail
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Deaf;
/// # impl Policy for Deaf {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Deaf) }
/// # }
/// oriel_sdk::export!(Deaf: msr); // `Deaf` does not judge `oriel_sdk::msr::Write`
/// ```
///
/// ```compile_fail
/// # use oriel_sdk::{Config, Failure, Host, Place, Policy};
/// # struct Deaf;
/// # impl Policy for Deaf {
/// #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Deaf) }
/// # }
/// oriel_sdk::export!(Deaf: mrs); // `mrs` is nothing that a policy can export; …
/// ```
#[macro_export]
macro_rules! export {
    ($policy:ty: $($kind:ident),+ $(,)?) => {
        // A kind that is named twice is an error.
        const _: () = {
            #[allow(dead_code, non_camel_case_types)]
            enum Once { $($kind),+ }
        };
        const _: () = {
            #[cfg(target_arch = "wasm32")]
            $crate::__export_slot!($policy);
            $($crate::__export_kind!($kind, $policy);)+
            #[cfg(not(target_arch = "wasm32"))]
            impl $crate::export::Exports for $policy {
                fn tell(to: &mut impl $crate::export::Told<Self>) {
                    $($crate::__tell_kind!($kind, to);)+
                }
            }
        };
    };
}

/// One kind, told to whoever plays the engine. What does not exist is an error elsewhere.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __tell_kind {
    (cr, $to:ident) => { $to.judges::<$crate::cr::Write>() };
    (msr, $to:ident) => { $to.judges::<$crate::msr::Write>() };
    (msr_read, $to:ident) => { $to.judges::<$crate::msr_read::Read>() };
    (xsetbv, $to:ident) => { $to.judges::<$crate::xsetbv::Write>() };
    (breakpoint, $to:ident) => { $to.judges::<$crate::breakpoint::Hit>() };
    (hypercall, $to:ident) => { $to.judges::<$crate::hypercall::Call>() };
    (page, $to:ident) => { $to.judges::<$crate::page::Touch>() };
    (trap, $to:ident) => { $to.judges::<$crate::trap::Delivery>() };
    (descriptor, $to:ident) => { $to.judges::<$crate::descriptor::Use>() };
    (singlestep, $to:ident) => { $to.judges::<$crate::singlestep::Step>() };
    (cpuid, $to:ident) => { $to.judges::<$crate::cpuid::Query>() };
    (pio, $to:ident) => { $to.judges::<$crate::pio::Transfer>() };
    (mmio, $to:ident) => { $to.judges::<$crate::mmio::Transfer>() };
    (reset, $to:ident) => { $to.judges::<$crate::reset::Reset>() };
    (shutdown, $to:ident) => { $to.judges::<$crate::shutdown::Shutdown>() };
    (create_vcpu, $to:ident) => { $to.hears_of_vcpus() };
    (pause, $to:ident) => { $to.hears_of_pauses() };
    (unhook, $to:ident) => { $to.hears_of_the_end() };
    (observe, $to:ident) => { $to.observes() };
    (state, $to:ident) => { $to.saves() };
    (tick, $to:ident) => { $to.ticks() };
    ($other:ident, $to:ident) => { () };
}

/// The place for the instance, and the export that fills it. Its names are seen where the
/// policy's is, so they are none that an author would choose.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_slot {
    ($policy:ty) => {
        struct __OrielComponent;
        type __OrielPolicy = $policy;

        impl $crate::export::Exported for __OrielComponent {
            type Policy = __OrielPolicy;

            fn slot<R>(run: impl FnOnce(&mut Option<__OrielPolicy>) -> R) -> R {
                ::std::thread_local! {
                    static SLOT: ::std::cell::RefCell<Option<__OrielPolicy>> =
                        const { ::std::cell::RefCell::new(None) };
                }
                SLOT.with_borrow_mut(run)
            }
        }

        $crate::bindings::hears_lifecycle::export_hears_lifecycle!(__OrielComponent);
    };
}

/// One kind: the trait a policy must have for it, and the exports.
#[doc(hidden)]
#[macro_export]
#[rustfmt::skip]
macro_rules! __export_kind {
    (cr, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::cr::Write>, hears_cr::export_hears_cr); };
    (msr, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::msr::Write>, hears_msr::export_hears_msr); };
    (msr_read, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::msr_read::Read>, hears_msr_read::export_hears_msr_read); };
    (xsetbv, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::xsetbv::Write>, hears_xsetbv::export_hears_xsetbv); };
    (breakpoint, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::breakpoint::Hit>, hears_breakpoint::export_hears_breakpoint); };
    (hypercall, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::hypercall::Call>, hears_hypercall::export_hears_hypercall); };
    (page, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::page::Touch>, hears_page::export_hears_page); };
    (trap, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::trap::Delivery>, hears_trap::export_hears_trap); };
    (descriptor, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::descriptor::Use>, hears_descriptor::export_hears_descriptor); };
    (singlestep, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::singlestep::Step>, hears_singlestep::export_hears_singlestep); };
    (cpuid, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::cpuid::Query>, hears_cpuid::export_hears_cpuid); };
    (pio, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::pio::Transfer>, hears_pio::export_hears_pio); };
    (mmio, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::mmio::Transfer>, hears_mmio::export_hears_mmio); };
    (reset, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::reset::Reset>, hears_reset::export_hears_reset); };
    (shutdown, $p:ty) => { $crate::__export_as!($p, $crate::Judge<$crate::shutdown::Shutdown>, hears_shutdown::export_hears_shutdown); };
    (create_vcpu, $p:ty) => { $crate::__export_as!($p, $crate::CreateVcpu, hears_create_vcpu::export_hears_create_vcpu); };
    (pause, $p:ty) => { $crate::__export_as!($p, $crate::Pause, hears_pause::export_hears_pause); };
    (unhook, $p:ty) => { $crate::__export_as!($p, $crate::Unhook, hears_unhook::export_hears_unhook); };
    (observe, $p:ty) => { $crate::__export_as!($p, $crate::Observe, hears_observe::export_hears_observe); };
    (state, $p:ty) => { $crate::__export_as!($p, $crate::State, hears_state::export_hears_state); };
    (tick, $p:ty) => { $crate::__export_as!($p, $crate::Tick, hears_tick::export_hears_tick); };
    ($other:ident, $p:ty) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($other), "` is nothing that a policy can export; it can export \
            cr, msr, msr_read, xsetbv, breakpoint, hypercall, page, trap, descriptor, singlestep, \
            cpuid, pio, mmio, reset, shutdown, create_vcpu, pause, unhook, observe, state, tick"
        ));
    };
}

/// The check that the policy has the trait, and in a component the exports.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_as {
    ($policy:ty, $listens:path, $world:ident::$export:ident) => {
        const _: () = {
            const fn listens<P: $listens>() {}
            listens::<$policy>();
        };
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$world::$export!(__OrielComponent);
    };
}
