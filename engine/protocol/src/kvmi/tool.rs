//! The tool's side of the wire.

use super::{EventReply, Malformed, event::Received, frame::Header};
use crate::{Dialect, EventKind, VcpuCall, VmCall};

/// What a VM sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is alive at a time, and events are the common case"
)]
pub enum Incoming {
    /// An event.
    Event(Received),
    /// The reply to a command.
    Reply {
        /// The command's number.
        id: u16,
        /// The command's sequence number.
        seq: u32,
        /// 0, or a negative error number.
        error: i32,
        /// What the reply carries besides.
        data: Vec<u8>,
    },
}

/// The whole message of a command for the VM; none where the dialect lacks it.
pub fn command_vm(_: Dialect, _seq: u32, _: &VmCall) -> Option<Vec<u8>> {
    unimplemented!("being written")
}

/// The whole message of a command for a vCPU; none where the dialect lacks it.
pub fn command_vcpu(_: Dialect, _seq: u32, _vcpu: u16, _: &VcpuCall) -> Option<Vec<u8>> {
    unimplemented!("being written")
}

/// The whole message of the reply to an event; none where the dialect lacks the kind.
pub fn answer(_: Dialect, _vcpu: u16, _seq: u32, _: EventKind, _: &EventReply) -> Option<Vec<u8>> {
    unimplemented!("being written")
}

/// Any message at all.
pub fn raw(id: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    super::frame::message(id, seq, payload)
}

/// What a message of a VM is.
///
/// # Errors
/// [`Malformed`].
pub fn incoming(_: Dialect, _: &Header, _: &[u8]) -> Result<Incoming, Malformed> {
    unimplemented!("being written")
}
