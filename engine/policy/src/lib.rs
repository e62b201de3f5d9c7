//! Who judges: the host of policies, which are sandboxed WebAssembly components.
//!
//! A component's **exports are what it hears, its imports are what it may do**; both are read
//! from its bytes. This crate loads it, links what is granted and nothing else, instantiates,
//! calls, limits and watches it. It never decides who hears an event, nor adds verdicts up, and
//! it does no I/O on guests: whatever a policy asks for goes to the [`Desk`] of the call, where
//! the engine has its gate.
//!
//! ```text
//!   bytes ──load──► Plugin ──prepare(Terms)──► Policy ──instantiate──► Instance
//!           what it says of itself   rights, configuration,     init      │
//!                                    filters (from a probe)               │ judge, observe,
//!                                                                         │ notice, tick
//!   Case + Desk ──────────────► Instance ──► Verdict or Failure, and the Desk again
//!                                  │ ▲
//!                     typed command│ │reply or Refusal
//!                                  ▼ │
//!                                 Desk
//! ```
//!
//! A call costs what a call of wasmtime costs: its function was looked up when the instance was
//! made, its deadline is two stores into the [`Slot`] of its thread, and an event that continues
//! allocates nothing.
//!
//! ```no_run
//! use std::sync::Arc;
//! use oriel_policy::{Desk, Host, HostSettings, Instance, Place, Slot, Terms};
//! use oriel_protocol::{EventSet, Right};
//!
//! # fn begin(desk: Box<dyn Desk>) -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::new(HostSettings::default())?;
//! let plugin = host.load("guard", &std::fs::read("guard.wasm")?)?;
//! let terms = Terms {
//!     name: "guard".into(),
//!     rights: [Right::Alert].into(),
//!     events: EventSet::all(),
//!     ..Terms::default()
//! };
//! let policy = host.prepare(&plugin, terms)?;
//! let slot: Arc<Slot> = host.slot();
//! let (instance, desk) = policy.instantiate(Place::Vcpu(0), &slot, desk);
//! let instance: Instance = instance?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`host`](Host) | both engines, the watchdog, the reaper |
//! | `code_cache` | where compiled code is kept |
//! | [`inspect`](inspect()) | what a component says of itself |
//! | [`manifest`], [`config`] | what it declares, and what the operator gives |
//! | [`effective`](Effective) | what it asks for, declares and is granted, all three |
//! | [`policy`](Policy) | a plugin granted, configured, linked |
//! | [`instance`](Instance) | one store, and the calls into it |
//! | `judges` | one file a kind of event |
//! | `rights` | one file a right |
//! | `words` | WIT's words and the tables', turned into each other |
//! | [`limits`], `meter` | what a policy may use, and what its instances have used together |
//! | `growth` | how large memories may become, and have become |
//! | `watchdog` | what stops a policy that does not come to an end |
//! | [`store`] | what a policy keeps |
//!
//! To let policies judge a new kind of event: a file in `judges` and a line in its table. To give
//! them a new command: a line in the file of its right. The compiler and `tests/contract.rs` say
//! what was forgotten.

mod bindings;
mod call;
mod code_cache;
pub mod config;
mod desk;
mod effective;
mod engines;
mod exports;
mod failure;
mod growth;
mod host;
mod inspect;
mod instance;
mod judges;
pub mod limits;
pub mod manifest;
mod meter;
mod observe;
mod plugin;
mod policy;
mod prepare_error;
mod probe;
mod reaper;
mod relay;
mod rights;
mod state;
pub mod store;
mod terms;
mod watchdog;
mod words;

pub use config::{ConfigError, Parameter, Setting, SettingKind};
pub use desk::Desk;
pub use effective::{Effective, Says, Standing, undeclared};
pub use failure::{Failure, Trace};
pub use host::{Host, HostError, HostSettings};
pub use inspect::{Digest, Inspection, LoadError, inspect, manifest_json};
pub use instance::{Answer, Instance, Place, Saved};
pub use limits::{LimitError, Limits};
pub use manifest::{
    FailureMode, InstanceMode, Manifest, ManifestError, OnFailure, StoreSchema, SwapMode,
    write_manifest,
};
pub use meter::{Dropped, Spent};
pub use plugin::Plugin;
pub use policy::Policy;
pub use prepare_error::PrepareError;
pub use store::Store;
pub use terms::Terms;
pub use watchdog::{Round, Slot};

#[cfg(test)]
mod tests;
