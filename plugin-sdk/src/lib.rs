//! What the author of an Oriel policy uses.
//!
//! A policy is a type. It says how an instance begins ([`Policy`]), which kinds of event it
//! judges ([`Judge`], once for each kind), and what it asks of the engine while it does so: one
//! trait a right ([`Alert`], [`Store`], [`MemoryRead`], …). [`export!`] makes a WebAssembly
//! component of it:
//!
//! ```
//! use oriel_sdk::{Alert, Judge, Moment, Plain, Severity, Store, hex, msr};
//!
//! /// The register that says where system calls enter the kernel is set once.
//! #[derive(Default)]
//! struct Once;
//!
//! impl Plain for Once {}
//!
//! impl Judge<msr::Write> for Once {
//!     fn filters(&self) -> Vec<msr::Filter> {
//!         vec![msr::Filter::one(msr::LSTAR)]
//!     }
//!
//!     fn judge(
//!         &mut self,
//!         _: &Moment,
//!         write: msr::Write,
//!         host: &mut (impl Alert + Store),
//!     ) -> msr::Verdict {
//!         if host.first_number("lstar", write.new) == Ok(write.new) {
//!             return msr::Verdict::Continue;
//!         }
//!         host.report(Severity::High, "LSTAR changed", &[("value", &hex(write.new))]);
//!         msr::Verdict::Deny
//!     }
//! }
//!
//! oriel_sdk::export!(Once: msr);
//! # fn main() {}
//! ```
//!
//! What the component *exports* is what it hears; what it *imports* is what it may do. Both are
//! read from the binary, so `export!` names the kinds, and a right is imported by nothing but
//! the use of one of its functions. The policy above imports `alert`, `store` and `log` (which the
//! panic hook writes to), and nothing else.
//!
//! The same code runs natively against [`testing::MockEngine`]: see [`testing`].
//!
//! Where to start: [`Plain`] or [`Policy`], and [`Judge`]; the kinds of event are the lower-case modules
//! ([`msr`], [`page`], [`breakpoint`], …), the rights are the traits that [`Host`] lists.

#[doc(hidden)]
pub mod bindings;
mod calls;
mod config;
mod engine;
#[doc(hidden)]
pub mod export;
mod hex;
mod judge;
mod kinds;
pub mod linux;
mod moment;
#[doc(hidden)]
pub mod native;
mod notices;
pub mod observe;
mod panic;
mod policy;
mod rights;
pub mod state;
mod structures;
pub mod testing;
mod tick;
pub mod verdict;

#[doc(hidden)]
pub use wit_bindgen::rt;

/// How a state is written down, for its derive macros.
pub use bincode;

pub use calls::AnswerCalls;
pub use config::{Config, ConfigError, FromSetting, Setting};
pub use engine::Engine;
pub use hex::{Hex, hex};
pub use judge::{Event, Judge};
pub use kinds::{
    breakpoint, cpuid, cr, descriptor, hypercall, mmio, msr, msr_read, page, pio, reset, shutdown,
    singlestep, trap, xsetbv,
};
pub use moment::{
    Access, CpuidLeaf, Decision, EventKind, Exception, Moment, Refusal, Rings, Scope, Verdicts,
};
pub use notices::{CreateVcpu, Pause, Unhook};
pub use observe::Observe;
pub use policy::{Failure, Place, Plain, Policy};
pub use rights::{
    Alert, Arch, BreakpointPlace, Capability, Control, GeneralRegisters, GuestOs, Host, Inject,
    Intercept, Level, Log, Machine, MachineInfo, MemoryRange, MemoryRead, MemoryWords, MemoryWrite,
    Metrics, PageAccess, Register, RegistersRead, RegistersWrite, Severity, Store, Support,
};
pub use state::State;
pub use structures::{Fixed, ReadStructures, Record};
pub use tick::Tick;

/// The code in the guide is compiled and run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/writing-a-policy.md")]
struct Guide;
