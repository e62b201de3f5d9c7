//! The tool's side of the wire: commands and replies to events are encoded, what a VM sends is
//! decoded. It owns no state: who waits for which reply is the caller's business.

use super::{
    EventReply, Layout, Malformed,
    bytes::{Reader, Writer},
    event::{self, Received},
    frame::{self, ERROR_CODE, Header},
};
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

/// The whole message of a command for the VM; none where the dialect lacks it, or a VM would not
/// take so long a one.
pub fn command_vm(dialect: Dialect, seq: u32, call: &VmCall) -> Option<Vec<u8>> {
    let number = call.id().numbers().of(dialect)?;
    let mut to = Writer::new(dialect);
    call.encode(&mut to);
    bounded(number, seq, to)
}

/// The whole message of a command for a vCPU; none where the dialect lacks it, or a VM would not
/// take so long a one.
pub fn command_vcpu(dialect: Dialect, seq: u32, vcpu: u16, call: &VcpuCall) -> Option<Vec<u8>> {
    let number = call.id().numbers().of(dialect)?;
    let mut to = Writer::new(dialect);
    frame::put_vcpu(&mut to, vcpu);
    call.encode(&mut to);
    bounded(number, seq, to)
}

/// The whole message of the reply to an event; none where the dialect lacks the kind, or the kind
/// is not answered.
pub fn answer(
    dialect: Dialect,
    vcpu: u16,
    seq: u32,
    kind: EventKind,
    reply: &EventReply,
) -> Option<Vec<u8>> {
    kind.numbers().of(dialect)?;
    if event::is_of_vm(kind) {
        return None;
    }
    let mut to = Writer::new(dialect);
    frame::put_vcpu(&mut to, vcpu);
    reply.put(&mut to, kind);
    bounded(dialect.event_reply(), seq, to)
}

/// Any message at all, right or wrong.
pub fn raw(id: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    frame::message(id, seq, payload)
}

fn bounded(id: u16, seq: u32, payload: Writer) -> Option<Vec<u8>> {
    let fits = payload.len() <= payload.dialect().max_received();
    fits.then(|| frame::message(id, seq, &payload.into_bytes()))
}

/// What a message of a VM is.
///
/// # Errors
/// [`Malformed`] if it makes no sense.
pub fn incoming(dialect: Dialect, header: &Header, payload: &[u8]) -> Result<Incoming, Malformed> {
    if event::is_event(dialect, header.id) {
        return event::decode(dialect, header, payload).map(Incoming::Event);
    }
    let Some((code, data)) = payload.split_at_checked(ERROR_CODE) else {
        return Err(Malformed::Short {
            what: "a reply",
            had: payload.len(),
            least: ERROR_CODE,
        });
    };
    Ok(Incoming::Reply {
        id: header.id,
        seq: header.seq,
        error: Reader::new(dialect, code).i32(),
        data: data.to_vec(),
    })
}

/// The data of a reply that says yes, as this row answers.
///
/// # Errors
/// [`Malformed`] if it makes no sense.
pub fn reply<R: Layout>(dialect: Dialect, data: &[u8]) -> Result<R::Reply, Malformed> {
    R::take_reply(&mut Reader::new(dialect, data))
}

/// The dialect of a VM by the data of its answer to GET_VERSION; none if it is too short for any.
/// rfc6 and v6 answer alike.
pub fn dialect_of_version(data: &[u8]) -> Option<Dialect> {
    let mut from = Reader::new(Dialect::V12, data);
    from.skip(4);
    match (data.len(), from.u32()) {
        (..8, _) => None,
        (8..16, _) => Some(Dialect::V6),
        (16.., 0) => Some(Dialect::V7),
        (16.., _) => Some(Dialect::V12),
    }
}
