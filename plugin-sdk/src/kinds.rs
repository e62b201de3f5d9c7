//! The kinds of event that a policy can judge, one file each, in the order of the WIT.
//!
//! Each file owns the way of its kind between the WIT's flat numbers and a value with names:
//! the event, its filter, its verdict, and what its exports call. To add a kind, add a file, a
//! row in `export`, and nothing else.

pub mod breakpoint;
pub mod cpuid;
pub mod cr;
pub mod descriptor;
pub mod hypercall;
pub mod mmio;
pub mod msr;
pub mod msr_read;
pub mod page;
pub mod pio;
pub mod reset;
pub mod shutdown;
pub mod singlestep;
pub mod trap;
pub mod xsetbv;

#[cfg(test)]
mod tests;
