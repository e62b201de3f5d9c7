//! A VM in this process, on a stock kernel.
//!
//! Three parts, so that a VMM that owns `KVM_RUN` can take the first two and keep its loop:
//! ```text
//!   decode   exit → event, or not ours          pure
//!   apply    verdict → plan                      pure; a tap carries it out on the vCPU
//!   run      KVM_RUN, kicks, holds, halts        the reference VMM
//! ```
//! | module | holds |
//! |---|---|
//! | [`exit`] | what KVM says, as plain values |
//! | [`decode`] | exit → what awaits a verdict → event |
//! | [`apply`] | verdict → what is to be done |
//! | [`tap`] | both on a real vCPU: for embedders, and for the reference VMM |
//! | [`arm`] | wants → MSR filter, breakpoints, page traps, and what the vCPUs report |
//! | [`patched`] | guest RAM with managed breakpoints in it, which Oriel does not see |
//! | [`traps`] | pages whose access is trapped, by protecting KVM's mapping of them |
//! | [`habits`] | what one KVM does in its own way; [`probe`] finds out |
//! | [`msr_rules`] | which MSRs may be filtered, and the checks that a guest's write gets |
//! | [`build`] | the reference VMM: memory, devices, loader, vCPUs |
//!
//! What the guest finds when it starts is `docs/guests.md`.

mod access;
pub mod apply;
pub mod arm;
mod boot;
pub mod build;
pub mod bus;
mod capabilities;
mod causes;
mod chips;
mod code;
mod debug_registers;
pub mod decode;
mod devices;
pub mod embed;
mod entry;
pub mod error;
pub mod exit;
mod failure;
pub mod habits;
mod kernel;
mod kick;
mod loader;
mod msr_filter;
pub mod msr_rules;
mod msrs;
mod mtrr;
pub mod patched;
pub mod pending;
pub mod probe;
mod program;
mod ram;
mod registers;
mod rests;
mod seats;
mod serial;
mod sys;
pub mod tap;
mod tapped;
pub mod traps;
mod vcpu;
mod vm;
mod world;

pub use arm::Arming;
pub use build::{Config, is_usable};
pub use bus::{Bus, Effect};
pub use embed::{EmbeddedVcpu, Embedding, Ready};
pub use error::KvmError;
pub use kernel::{Kernel, KernelError};
pub use loader::Image;
pub use patched::PatchedRam;
pub use program::Program;
pub use sys::signal::KickSignal;
pub use tap::{Seen, Tap, Then};
pub use traps::{Protection, Shield};

#[cfg(test)]
mod tests;
