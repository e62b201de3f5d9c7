//! The engine as a policy in a component reaches it.
//!
//! Owns nothing: each trait in `rights` is implemented for it beside its definition, by one call
//! of an import. Never made by an author; natively its calls panic, as there is no engine.

/// The engine that runs this component. It has every right's trait; which of them the operator
/// granted is the engine's own answer, call by call.
///
/// Authors never name it: a policy is generic over its host, so that it runs against
/// [`testing::MockEngine`](crate::testing::MockEngine) too.
#[derive(Debug)]
pub struct Engine(());

impl Engine {
    /// The engine, for the glue between an export and the policy behind it.
    pub(crate) fn here() -> Self {
        Self(())
    }
}
