//! Testing a policy natively, without an engine, a VM or WebAssembly.
//!
//! [`Bench`] makes instances of a policy as the engine does, brings events to them through the
//! policy's own filters, and returns the verdicts. [`MockEngine`] is the host they talk to: it
//! has all rights, remembers what was told and done, and refuses what it is told to refuse.
//! Both are deterministic. Neither runs a guest: a verdict changes nothing here.
//!
//! ```
//! use oriel_sdk::testing::{Bench, Command};
//! use oriel_sdk::{Config, Refusal, msr};
//! # use oriel_sdk::{Failure, Host, Judge, Moment, Place, Policy, Store};
//! # struct Once;
//! # impl Policy for Once {
//! #     fn init(_: &mut Config, _: Place, _: &mut impl Host) -> Result<Self, Failure> { Ok(Once) }
//! # }
//! # impl Judge<msr::Write> for Once {
//! #     fn filters(&self) -> Vec<msr::Filter> { vec![msr::Filter::one(0xC000_0082)] }
//! #     fn judge(&mut self, _: &Moment, write: msr::Write, host: &mut impl Store) -> msr::Verdict {
//! #         match host.compare_and_swap_number("first", None, write.new) {
//! #             Ok(None) => msr::Verdict::Continue,
//! #             Ok(Some(first)) if first == write.new => msr::Verdict::Continue,
//! #             Ok(Some(_)) | Err(_) => msr::Verdict::Deny,
//! #         }
//! #     }
//! # }
//!
//! # fn main() -> Result<(), oriel_sdk::Failure> {
//! let mut bench = Bench::<Once>::new(Config::new())?;
//! let lstar = |new| msr::Write::new(0xC000_0082, 0, new);
//! assert_eq!(bench.raise(0, lstar(7)), Some(msr::Verdict::Continue));
//!
//! bench.crash(); // All instances are gone; the store is not.
//! assert_eq!(bench.raise(0, lstar(8)), Some(msr::Verdict::Deny));
//!
//! bench.engine.refuse(Command::CompareAndSwapNumber, Refusal::Limit);
//! assert_eq!(bench.raise(0, lstar(7)), Some(msr::Verdict::Deny));
//!
//! // Its filters do not want this one.
//! assert_eq!(bench.raise(0, msr::Write::new(0x10, 0, 1)), None);
//! # Ok(())
//! # }
//! ```

mod bench;
mod command;
mod engine;
mod linux;
mod memory;
#[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
mod play;
mod vcpu;

pub use bench::{Bench, Lost};
pub use command::Command;
pub use engine::{Armed, MockEngine, RaisedAlert};
pub use linux::MockLinux;
pub use memory::MockMemory;
#[cfg(all(feature = "scenarios", not(target_arch = "wasm32")))]
pub use play::{Cue, Judged, Played, scenario};
pub use vcpu::MockVcpu;
