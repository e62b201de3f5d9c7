//! Who judges: the host of policies, which are sandboxed WebAssembly components.
mod bindings;
mod call;
pub mod config;
mod desk;
mod engines;
mod exports;
mod failure;
mod host;
mod inspect;
mod instance;
mod judges;
pub mod limits;
pub mod manifest;
mod observe;
mod plugin;
mod policy;
mod prepare_error;
mod probe;
mod reaper;
mod rights;
mod state;
pub mod store;
mod terms;
mod watchdog;
mod words;

pub use config::{ConfigError, Parameter, Setting, SettingKind};
pub use desk::Desk;
pub use failure::Failure;
pub use host::{Host, HostError, HostSettings};
pub use inspect::{Digest, Inspection, LoadError, inspect};
pub use instance::{Answer, Instance, Place, Saved};
pub use limits::Limits;
pub use manifest::{
    FailureMode, InstanceMode, Manifest, ManifestError, OnFailure, SwapMode, write_manifest,
};
pub use plugin::Plugin;
pub use policy::Policy;
pub use prepare_error::PrepareError;
pub use state::Dropped;
pub use store::Store;
pub use terms::Terms;
pub use watchdog::{Round, Slot};

#[cfg(test)]
mod tests;
