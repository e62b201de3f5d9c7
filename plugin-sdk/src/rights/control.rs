//! Stopping and resuming vCPUs.

use crate::bindings::rights::oriel::introspection::control as wit;
use crate::{Engine, Refusal};

/// The right to stop vCPUs. What a call has paused is resumed when the call ends.
///
/// ```
/// use oriel_sdk::{Control, testing::MockEngine};
///
/// let mut host = MockEngine::new(3);
/// host.pause(2)?;
/// host.pause_others()?;
/// assert!(host.paused.iter().eq(&[1, 2]));
/// host.resume()?;
/// assert!(host.paused.is_empty());
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
///
/// # Errors
/// All functions: denied; `not-found`, if there is no such vCPU; `busy`, if somebody else is
/// stopping the VM.
pub trait Control {
    /// Stops a vCPU.
    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal>;
    /// Stops all vCPUs but the one whose event is being judged.
    fn pause_others(&mut self) -> Result<(), Refusal>;
    /// Resumes what this call has stopped.
    fn resume(&mut self) -> Result<(), Refusal>;
}

impl Control for Engine {
    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal> {
        wit::pause(vcpu)
    }

    fn pause_others(&mut self) -> Result<(), Refusal> {
        wit::pause_others()
    }

    fn resume(&mut self) -> Result<(), Refusal> {
        wit::resume()
    }
}
