//! The engine's side of a call.

use std::any::Any;

use oriel_protocol::{
    Refusal, ServiceCall, VcpuCall, VmCall,
    commands::{ServiceReply, VcpuReply, VmReply},
};

/// Whom a policy's commands go to while one of its calls runs.
///
/// The host of policies does no I/O on guests and decides nothing: everything that a policy asks
/// for comes here, as the same typed command that a tool on the wire sends. The gate stands
/// behind this trait.
///
/// A desk is lent to an [`Instance`](crate::Instance) for one call and handed back with the
/// answer; being [`Any`], it can be turned back into the engine's own type.
pub trait Desk: Any + Send {
    /// Does something to the VM as a whole.
    ///
    /// # Errors
    /// Why it was not done.
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal>;

    /// Does something to one vCPU.
    ///
    /// # Errors
    /// Why it was not done.
    fn vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal>;

    /// Does something for the policy itself: its log, its store, its alerts.
    ///
    /// # Errors
    /// Why it was not done.
    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal>;
}
