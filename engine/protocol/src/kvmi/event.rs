//! Events on the wire: encoded where a VM sends them, decoded where a tool reads them. It owns
//! their bytes; who waits for the reply is [`Pending`](super::Pending)'s business.
//!
//! Every event of a vCPU carries the vCPU's state, then what the kind has of its own
//! ([`Specific`]). In v12 a small header with the event's number comes first, and events of the
//! VM are nothing but that header.

mod traps;
mod writes;

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

/// What a kind of event carries of its own, as bytes.
pub trait Specific: Sized {
    /// Writes it.
    fn put(&self, to: &mut Writer);

    /// Reads it, zeros where there is nothing. What the wire leaves out is filled in from the
    /// registers that came along, or with nothing.
    ///
    /// # Errors
    /// [`Malformed`] if a field makes no sense.
    fn take(from: &mut Reader<'_>, state: &Snapshot) -> Result<Self, Malformed>;
}

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
    data.encode(&mut to);
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
    let data = EventData::decode(kind, &mut own, &snapshot)?;
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
        let data = EventData::decode(kind, &mut from, &snapshot)?;
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
    let data = EventData::decode(kind, &mut own, &snapshot)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Cr, Trap};

    fn sent(dialect: Dialect, data: impl Into<EventData>) -> Vec<u8> {
        let snapshot = Snapshot::default();
        encode(dialect, 1, 2, &snapshot, &data.into()).unwrap()[frame::HEADER..].to_vec()
    }

    const CR: Cr = Cr {
        cr: 3,
        old: 1,
        new: 2,
    };
    const HEADER: Header = Header {
        id: EVENT,
        size: 0,
        seq: 1,
    };

    #[test]
    fn the_common_part_says_itself_where_it_ends() {
        for dialect in Dialect::ALL {
            let before = if dialect == Dialect::V12 { NUMBER } else { 0 };
            let whole = sent(dialect, CR);
            for size in 0..=700_u16 {
                let common = usize::from(size).max(8);
                let mut bytes = whole[..before + 8].to_vec();
                bytes.resize(before + common, 0);
                bytes.extend_from_slice(&whole[before + EVENT_COMMON..]);
                bytes[before..before + 2].copy_from_slice(&size.to_le_bytes());
                match decode(dialect, &HEADER, &bytes) {
                    Ok(received) => {
                        assert!(size >= 8);
                        assert_eq!(received.data, CR.into(), "{dialect:?} {size}");
                    }
                    Err(flaw) => {
                        assert!(size < 8);
                        assert!(matches!(flaw, Malformed::CommonSize { .. }));
                    }
                }
            }
            let mut beyond = whole.clone();
            beyond[before..before + 2].copy_from_slice(&u16::MAX.to_le_bytes());
            assert!(decode(dialect, &HEADER, &beyond).is_err());
        }
    }

    #[test]
    fn an_events_own_part_is_extended_with_zeros() {
        for dialect in Dialect::ALL {
            let whole = sent(dialect, CR);
            let short = &whole[..whole.len() - 8];
            let received = decode(dialect, &HEADER, short).unwrap();
            assert_eq!(received.data, Cr { new: 0, ..CR }.into());
        }
    }

    #[test]
    fn breakpoint_and_overflow_are_soft_exceptions_in_v6() {
        for vector in 0..32 {
            let trap = Trap {
                vector,
                error_code: None,
                address: 0,
            };
            let bytes = sent(Dialect::V6, trap);
            let expected: u32 = if matches!(vector, 3 | 4) {
                0x600
            } else {
                0x300
            };
            assert_eq!(bytes[EVENT_COMMON + 4..][..4], expected.to_le_bytes());
        }
    }

    #[test]
    fn v12_tells_of_the_vm_under_a_number_of_its_own() {
        let unhook = EventData::from(crate::events::Unhook {});
        let bytes = encode(Dialect::V12, 1, 2, &Snapshot::default(), &unhook).unwrap();
        assert_eq!(bytes.len(), frame::HEADER + NUMBER);
        let of_vm = Header {
            id: VM_EVENT,
            ..HEADER
        };
        let payload = &bytes[frame::HEADER..];
        assert_eq!(decode(Dialect::V12, &of_vm, payload).unwrap().data, unhook);
        assert!(decode(Dialect::V12, &HEADER, payload).is_err());
        assert!(decode(Dialect::V12, &of_vm, &sent(Dialect::V12, CR)).is_err());
    }
}
