//! Events on the wire: encoded where a VM sends them, decoded where a tool reads them. It owns
//! their bytes; who waits for the reply is [`Pending`](super::Pending)'s business.
//!
//! Every event of a vCPU carries the vCPU's state, then what the kind has of its own
//! ([`specific`]). In v12 a small header with the event's number comes first, and events of the
//! VM are nothing but that header.

mod specific;

use super::{
    Malformed, Snapshot,
    bytes::{Reader, Writer},
    frame::{self, EVENT_COMMON, Header},
};
use crate::{Dialect, EventData, EventKind};

/// The message of events of a vCPU in every dialect, and of all events but in v12.
const EVENT: u16 = 1;
/// The message of events of the VM in v12.
const VM_EVENT: u16 = 0;
/// Bytes of v12's header with the event's number.
const NUMBER: usize = 8;
/// The least that the common part may call itself.
const COMMON_LEAST: u16 = 8;

/// An event as a tool has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number, which the reply repeats.
    pub seq: u32,
    /// The vCPU that waits for the reply; 0 for an event of the VM, which is not answered.
    pub vcpu: u16,
    /// The vCPU's registers; zeros for an event of the VM.
    pub snapshot: Snapshot,
    /// What happened.
    pub data: EventData,
}

/// Whether an event is the VM's own, tells of no vCPU and is not answered.
pub const fn is_of_vm(kind: EventKind) -> bool {
    matches!(kind, EventKind::Unhook | EventKind::CommandError)
}

/// Whether a message of this number, from a VM, is an event.
pub(super) const fn is_event(dialect: Dialect, id: u16) -> bool {
    id == EVENT || matches!(dialect, Dialect::V12) && id == VM_EVENT
}

/// The whole message of an event; none where the dialect lacks the kind.
///
/// Events of the VM take nothing from `vcpu` and `snapshot`.
pub fn encode(
    dialect: Dialect,
    seq: u32,
    vcpu: u16,
    snapshot: &Snapshot,
    data: &EventData,
) -> Option<Vec<u8>> {
    let number = data.kind().numbers().of(dialect)?;
    let mut to = Writer::new(dialect);
    if dialect == Dialect::V12 {
        to.u16(number);
        to.padding(NUMBER - size_of::<u16>());
        if is_of_vm(data.kind()) {
            return Some(frame::message(VM_EVENT, seq, &to.into_bytes()));
        }
    }
    put_common(&mut to, number, vcpu, snapshot, data.kind());
    specific::put(data, &mut to);
    Some(frame::message(EVENT, seq, &to.into_bytes()))
}

fn put_common(to: &mut Writer, number: u16, vcpu: u16, snapshot: &Snapshot, kind: EventKind) {
    let of_vm = is_of_vm(kind);
    to.u16(u16::try_from(EVENT_COMMON).unwrap_or(u16::MAX));
    to.u16(if of_vm { 0 } else { vcpu });
    match to.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => {
            to.u8(u8::try_from(number).unwrap_or(u8::MAX));
            to.padding(3);
        }
        Dialect::V12 => to.padding(4),
    }
    match of_vm {
        true => to.padding(Snapshot::SIZE),
        false => snapshot.put(to),
    }
}

/// An event out of its message. The common part may be shorter or longer than ours, as it says
/// itself; both parts are extended with zeros, or cut.
///
/// # Errors
/// [`Malformed`] if a size or a number in it makes no sense.
pub fn decode(dialect: Dialect, header: &Header, payload: &[u8]) -> Result<Received, Malformed> {
    if dialect == Dialect::V12 {
        return decode_v12(header, payload);
    }
    let (mut common, mut own) = parts(dialect, payload)?;
    common.skip(2);
    let vcpu = common.u16();
    let kind = kind(dialect, common.u8().into())?;
    common.skip(3);
    let snapshot = Snapshot::take(&mut common);
    let data = specific::take(kind, &mut own, &snapshot)?;
    Ok(Received {
        seq: header.seq,
        vcpu,
        snapshot,
        data,
    })
}

fn decode_v12(header: &Header, payload: &[u8]) -> Result<Received, Malformed> {
    let dialect = Dialect::V12;
    let mut from = Reader::new(dialect, payload);
    let number = from.u16();
    let kind = kind(dialect, number)?;
    if is_of_vm(kind) != (header.id == VM_EVENT) {
        return Err(Malformed::UnknownEvent { number, dialect });
    }
    from.skip(NUMBER - size_of::<u16>());
    if is_of_vm(kind) {
        let snapshot = Snapshot::default();
        let data = specific::take(kind, &mut from, &snapshot)?;
        return Ok(Received {
            seq: header.seq,
            vcpu: 0,
            snapshot,
            data,
        });
    }
    let (mut common, mut own) = parts(dialect, from.rest())?;
    common.skip(2);
    let vcpu = common.u16();
    common.skip(4);
    let snapshot = Snapshot::take(&mut common);
    let data = specific::take(kind, &mut own, &snapshot)?;
    Ok(Received {
        seq: header.seq,
        vcpu,
        snapshot,
        data,
    })
}

/// The common part and the kind's own, as the common part says where it ends.
fn parts(dialect: Dialect, bytes: &[u8]) -> Result<(Reader<'_>, Reader<'_>), Malformed> {
    let had = bytes.len();
    let size = Reader::new(dialect, bytes).u16();
    let cut = bytes.split_at_checked(size.into());
    match cut {
        Some((common, own)) if size >= COMMON_LEAST => {
            Ok((Reader::new(dialect, common), Reader::new(dialect, own)))
        }
        Some(_) | None => Err(Malformed::CommonSize { size, had }),
    }
}

fn kind(dialect: Dialect, number: u16) -> Result<EventKind, Malformed> {
    EventKind::of(dialect, number).ok_or(Malformed::UnknownEvent { number, dialect })
}
