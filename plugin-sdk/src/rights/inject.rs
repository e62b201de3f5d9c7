//! Raising exceptions in the guest.

use crate::bindings::rights::oriel::introspection::inject as wit;
use crate::{Engine, Exception, Refusal};

/// The right to raise exceptions, at the next entry of a vCPU.
///
/// ```
/// use oriel_sdk::{Exception, Inject, Refusal, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// let undefined = Exception { vector: 6, error_code: None, address: 0 };
/// host.inject(1, undefined)?;
/// assert_eq!(host.injected, [(1, undefined)]);
/// let none = Exception { vector: 32, ..undefined };
/// assert_eq!(host.inject(1, none), Err(Refusal::Invalid));
/// # Ok::<(), Refusal>(())
/// ```
pub trait Inject {
    /// Raises an exception.
    ///
    /// # Errors
    /// Denied; `not-found`, if there is no such vCPU; `invalid`, if there is no such exception;
    /// `busy`, if another one waits already.
    fn inject(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal>;
}

impl Inject for Engine {
    fn inject(&mut self, vcpu: u32, exception: Exception) -> Result<(), Refusal> {
        wit::raise(vcpu, exception)
    }
}
