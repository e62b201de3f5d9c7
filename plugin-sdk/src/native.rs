//! Kinds of event and verdicts as the mock machine knows them. Owns nothing: without the feature
//! `scenarios`, and in a plugin, there is no machine, and every kind is as good as any other.

#[cfg(not(all(feature = "scenarios", not(target_arch = "wasm32"))))]
mod none {
    /// An event.
    pub trait Native: Sized {}
    impl<E> Native for E {}

    /// A verdict.
    pub trait Spoken: Sized {}
    impl<V> Spoken for V {}
}

#[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
mod machine;

#[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
pub use machine::{Case, Native, Spoken};
#[cfg(not(all(feature = "scenarios", not(target_arch = "wasm32"))))]
pub use none::{Native, Spoken};
