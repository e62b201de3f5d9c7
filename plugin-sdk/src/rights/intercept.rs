//! Arming events while the guest runs.

use crate::bindings::rights::oriel::introspection::intercept as wit;
use crate::{Engine, Refusal};

/// Where a breakpoint is.
pub use wit::Place as BreakpointPlace;

/// The right to arm events beyond what `filters` asked for at the start.
///
/// # Errors
/// All functions: denied; `not-found`, if there is no such vCPU, register, address or tag;
/// `unsupported`, if the machine cannot raise such an event.
pub trait Intercept {
    /// Changes of a control register.
    fn intercept_cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal>;
    /// Writes to a model-specific register.
    fn intercept_msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal>;
    /// Every instruction.
    fn single_step(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal>;
    /// A place in the guest's code. The tag is the policy's own name for it, and only one has it.
    fn set_breakpoint(&mut self, vcpu: u32, at: BreakpointPlace, tag: u64) -> Result<(), Refusal>;
    /// That place no longer.
    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal>;
    /// The tags of this policy's breakpoints.
    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal>;
}

impl Intercept for Engine {
    fn intercept_cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal> {
        wit::cr(vcpu, cr, on)
    }

    fn intercept_msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal> {
        wit::msr(vcpu, msr, on)
    }

    fn single_step(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal> {
        wit::singlestep(vcpu, on)
    }

    fn set_breakpoint(&mut self, vcpu: u32, at: BreakpointPlace, tag: u64) -> Result<(), Refusal> {
        wit::set_breakpoint(vcpu, at, tag)
    }

    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal> {
        wit::clear_breakpoint(tag)
    }

    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal> {
        wit::breakpoints()
    }
}
