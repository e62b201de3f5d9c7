//! Arming events while the guest runs.

use crate::bindings::rights::oriel::introspection::intercept as wit;
use crate::{Access, Engine, Refusal};

/// Where a breakpoint is.
pub use wit::Place as BreakpointPlace;

/// The right to arm events beyond what `filters` asked for at the start.
///
/// ```
/// use oriel_sdk::{Access, BreakpointPlace, Intercept, msr, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.intercept_cr(0, 4, true)?;
/// host.intercept_msr(0, msr::LSTAR, true)?;
/// host.single_step(0, true)?;
/// host.set_breakpoint(0, BreakpointPlace::Gpa(0x1000), 1)?;
/// host.set_hardware_breakpoint(0xffff_ffff_c000_0000, 2)?;
/// host.set_watchpoint(0x5008, 8, Access::WRITE, 3)?;
/// assert_eq!(host.breakpoints()?, [1, 2, 3]);
/// host.clear_breakpoint(2)?;
/// assert_eq!(host.breakpoints()?, [1, 3]);
/// # Ok::<(), oriel_sdk::Refusal>(())
/// ```
///
/// # Errors
/// All functions: denied; `not-found`, if there is no such vCPU, register, address or tag;
/// `unsupported`, if the machine cannot raise such an event; `limit`, if there is no room for one
/// more.
pub trait Intercept {
    /// Changes of a control register.
    fn intercept_cr(&mut self, vcpu: u32, cr: u8, on: bool) -> Result<(), Refusal>;
    /// Writes to a model-specific register.
    fn intercept_msr(&mut self, vcpu: u32, msr: u32, on: bool) -> Result<(), Refusal>;
    /// Every instruction.
    fn single_step(&mut self, vcpu: u32, on: bool) -> Result<(), Refusal>;
    /// A place in the guest's code. The tag is the policy's own name for it, and only one has it.
    fn set_breakpoint(&mut self, vcpu: u32, at: BreakpointPlace, tag: u64) -> Result<(), Refusal>;
    /// A linear address whose instruction the debug registers of every vCPU stop at, whatever is
    /// mapped there, now or later. A VM has four for all policies together, watchpoints included.
    fn set_hardware_breakpoint(&mut self, gva: u64, tag: u64) -> Result<(), Refusal>;
    /// So many bytes at a linear address (1, 2, 4 or 8, at a multiple of their number): each write
    /// to some of them, or each read and write, is an event behind the access. `invalid`, if `on` or
    /// the rest is what no processor watches for.
    fn set_watchpoint(&mut self, gva: u64, length: u8, on: Access, tag: u64)
    -> Result<(), Refusal>;
    /// That place no longer, of whichever sort.
    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal>;
    /// The tags of this policy's breakpoints and watchpoints.
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

    fn set_hardware_breakpoint(&mut self, gva: u64, tag: u64) -> Result<(), Refusal> {
        wit::set_hardware_breakpoint(gva, tag)
    }

    fn set_watchpoint(
        &mut self,
        gva: u64,
        length: u8,
        on: Access,
        tag: u64,
    ) -> Result<(), Refusal> {
        wit::set_watchpoint(gva, length, on, tag)
    }

    fn clear_breakpoint(&mut self, tag: u64) -> Result<(), Refusal> {
        wit::clear_breakpoint(tag)
    }

    fn breakpoints(&mut self) -> Result<Vec<u64>, Refusal> {
        wit::breakpoints()
    }
}
