//! What is being watched, and what it can do.

use crate::bindings::rights::oriel::introspection::machine as wit;
use crate::{Engine, Refusal};

/// What is being watched.
pub use wit::Info as MachineInfo;
/// Architectures, capabilities, and how far one is supported.
pub use wit::{Arch, Capability, Support};

/// The right to know what is being watched.
///
/// ```
/// use oriel_sdk::{Arch, Capability, Machine, MachineInfo, Support, testing::MockEngine};
///
/// fn can(host: &mut impl Machine, name: &str) -> bool {
///     let known: Vec<Capability> = host.capabilities().unwrap_or_default();
///     known.iter().any(|one| one.name == name && one.support != Support::No)
/// }
///
/// let mut host = MockEngine::new(2);
/// let info: MachineInfo = host.machine_info()?;
/// assert_eq!((info.vcpus, info.arch), (2, Arch::X8664));
/// assert!(!can(&mut host, "page"));
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
pub trait Machine {
    /// Which VM it is.
    ///
    /// # Errors
    /// Denied.
    fn machine_info(&mut self) -> Result<MachineInfo, Refusal>;

    /// What the machine can do.
    ///
    /// # Errors
    /// Denied.
    fn capabilities(&mut self) -> Result<Vec<Capability>, Refusal>;
}

impl Machine for Engine {
    fn machine_info(&mut self) -> Result<MachineInfo, Refusal> {
        wit::get_info()
    }

    fn capabilities(&mut self) -> Result<Vec<Capability>, Refusal> {
        wit::capabilities()
    }
}
