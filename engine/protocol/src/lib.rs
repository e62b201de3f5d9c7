//! What is said between a machine, the engine and its judges.
//!
//! This crate holds **the tables**: [`commands`], [`events`] and the
//! [verdicts](Verdict) they can take. A row is written once; the typed request and reply, the
//! number in each [KVMI dialect](Dialect), the bit in the allow-mask and the list of all rows that
//! tests walk are generated from it.
//!
//! It does no I/O, starts no threads, and knows neither Wasm nor KVM.
//!
//! | module | holds |
//! |---|---|
//! | [`commands`] | what a judge may ask for: VM, vCPU and service commands |
//! | [`events`] | what a vCPU reports |
//! | [`filter`] | which events a judge wants to see |
//! | [`case`] | an event as one judge sees it |
//! | [`verdict`] | how a judge answers |
//! | [`grant`] | who may do what: masks over both tables, and the rights of policies |
//! | [`ranges`] | sets of numbers: MSRs, ports, addresses |
//! | [`refusal`] | the one way to say no |
//! | [`capability`] | what a machine can do |
//! | [`point`] | what debug registers watch |
//! | [`linux`] | words for what a Linux guest's memory means |
//! | [`kvmi`] | the tables as bytes, and the session of a tool |
//! | [`x86`] | registers and exceptions |
//!
//! To add a command or an event, read `docs/adding-a-command.md`.

mod table;

pub mod capability;
pub mod case;
pub mod commands;
pub mod dialect;
pub mod events;
pub mod field;
pub mod filter;
pub mod grant;
pub mod identity;
pub mod kvmi;
pub mod linux;
pub mod page;
pub mod point;
pub mod ranges;
pub mod refusal;
mod set;
pub mod verdict;
pub mod x86;

pub use capability::{Capabilities, Capability, Support};
pub use case::Case;
pub use commands::{CommandId, Handle, Request, ServiceCall, VcpuCall, VmCall};
pub use dialect::{Dialect, Numbers};
pub use events::{Event, EventData, EventKind, Moment};
pub use filter::{Filter, Observation, Only, Rings, Scope};
pub use grant::{Admission, Bounds, CommandSet, EventSet, Grant, Reach, Right, Span};
pub use identity::{Arch, Identity};
pub use page::{Access, Gpa, Gva};
pub use point::HardwarePoint;
pub use ranges::{RangeError, Ranges};
pub use refusal::Refusal;
pub use verdict::{Decision, Value, Verdict, VerdictKind, VerdictSet};
