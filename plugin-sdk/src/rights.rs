//! What a policy may ask of the engine: one trait for each right, one file each.
//!
//! A trait is implemented for [`Engine`](crate::Engine) by calls of the imports, and for
//! [`MockEngine`](crate::testing::MockEngine) in `testing`. Its functions are called what the
//! WIT calls them, with a noun where two interfaces share a verb, so that all of them fit on one
//! host. Whether one is granted is never decided here: a no is a [`Refusal`](crate::Refusal).

mod alert;
mod control;
mod guest_os;
mod inject;
mod intercept;
mod log;
mod machine;
mod memory_read;
mod memory_words;
mod memory_write;
mod metrics;
mod page_access;
mod registers_read;
mod registers_write;
mod store;

pub use alert::{Alert, Severity};
pub use control::Control;
pub use guest_os::GuestOs;
pub use inject::Inject;
pub use intercept::{BreakpointPlace, Intercept};
pub use log::{Level, Log};
pub use machine::{Arch, Capability, Machine, MachineInfo, Support};
pub use memory_read::{MemoryRange, MemoryRead};
pub use memory_words::MemoryWords;
pub use memory_write::MemoryWrite;
pub use metrics::Metrics;
pub use page_access::PageAccess;
pub use registers_read::{GeneralRegisters, Register, RegistersRead};
pub use registers_write::RegistersWrite;
pub use store::Store;

/// All rights together: what a policy is generic over.
///
/// A function that takes less (`host: &mut (impl Alert + Store)`) says what it uses. Never take
/// a `dyn` of a right: its table of functions would import them all.
///
/// ```
/// use oriel_sdk::{Host, Refusal, Register};
///
/// /// A function that takes all rights uses those whose functions it calls.
/// fn count_stacks(host: &mut impl Host, vcpu: u32) -> Result<u64, Refusal> {
///     let stack = host.get_register(vcpu, Register::Rsp)?;
///     host.add_number(&format!("stack/{stack:x}"), 1)
/// }
/// ```
pub trait Host:
    Alert
    + Control
    + GuestOs
    + Inject
    + Intercept
    + Log
    + Machine
    + MemoryRead
    + MemoryWords
    + MemoryWrite
    + Metrics
    + PageAccess
    + RegistersRead
    + RegistersWrite
    + Store
{
}

impl<H> Host for H where
    H: Alert
        + Control
        + GuestOs
        + Inject
        + Intercept
        + Log
        + Machine
        + MemoryRead
        + MemoryWords
        + MemoryWrite
        + Metrics
        + PageAccess
        + RegistersRead
        + RegistersWrite
        + Store
{
}
