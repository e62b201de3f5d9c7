//! Events on the wire.

use super::{Malformed, Snapshot, frame::Header};
use crate::{Dialect, EventData};

/// An event as a tool has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number, which the reply repeats.
    pub seq: u32,
    /// The vCPU that waits for the reply.
    pub vcpu: u16,
    /// Its registers.
    pub snapshot: Snapshot,
    /// What happened.
    pub data: EventData,
}

/// The whole message of an event; none where the dialect lacks the kind.
pub fn encode(
    _dialect: Dialect,
    _seq: u32,
    _vcpu: u16,
    _snapshot: &Snapshot,
    _data: &EventData,
) -> Option<Vec<u8>> {
    unimplemented!("being written")
}

/// An event out of its message.
///
/// # Errors
/// [`Malformed`].
pub fn decode(_: Dialect, _: &Header, _: &[u8]) -> Result<Received, Malformed> {
    unimplemented!("being written")
}
