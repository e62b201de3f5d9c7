//! Who is watched: the [`Machine`] and [`Vcpu`] traits, and the machines that implement them.
//!
//! A machine reports what its vCPUs do and carries out verdicts. It never decides: who hears an
//! event and what the answer is belongs to the engine. It owns no thread that judges; the thread
//! that calls [`Vcpu::enter`] owns the vCPU's state until it enters again.
//!
//! | module | machine |
//! |---|---|
//! | `kvm` | a VM in this process, on a stock kernel; the feature of that name |
//! | [`mock`] | a script, with memory, page tables and registers |
//! | `qemu` | a VM that somebody else's QEMU runs; the feature of that name |
//!
//! `kvmi` and `replay` have their place beside them; how each fits the traits is in
//! `docs/architecture.md`, and a stub of each compiles in the tests of [`machine`].

#[cfg(feature = "kvm")]
pub mod kvm;
pub mod machine;
pub mod memory;
pub mod mock;
pub mod outlet;
pub mod paging;
mod points;
#[cfg(feature = "qemu")]
pub mod qemu;
#[cfg(feature = "kvm")]
mod sync;
pub mod unjudged;
pub mod wants;

pub use machine::{
    ArmError, End, Exit, Hold, Kicker, Machine, MachineError, Parts, Vcpu, VcpuState,
};
pub use memory::{GuestMemory, Piece};
pub use oriel_protocol::Ranges;
pub use outlet::Outlet;
pub use unjudged::{Unjudged, Unseen};
pub use wants::{Changed, Wants};
