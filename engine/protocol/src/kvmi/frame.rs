//! The frame around every message: an 8-byte header, then a payload. It owns the header and the
//! limits; what is in a payload is the rows' business.

use super::{
    Close, Errno, Flaw,
    bytes::{Reader, Writer},
};
use crate::Dialect;

/// Bytes in a header.
pub const HEADER: usize = 8;

/// Bytes in the part that all events of vCPUs have in common.
pub const EVENT_COMMON: usize = 544;

/// Bytes in the header that every vCPU command and every reply to an event begins with.
pub const VCPU_HEADER: usize = 8;

/// Bytes in the error code that every reply to a command begins with.
pub const ERROR_CODE: usize = 8;

/// What every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the command, or of the message that carries events or their replies.
    pub id: u16,
    /// Bytes in the payload, the header not counted.
    pub size: u16,
    /// Names the command or the event; a reply repeats it.
    pub seq: u32,
}

impl Header {
    /// Out of its bytes.
    pub const fn read(bytes: [u8; HEADER]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self {
            id: u16::from_le_bytes([a, b]),
            size: u16::from_le_bytes([c, d]),
            seq: u32::from_le_bytes([e, f, g, h]),
        }
    }

    /// Its bytes.
    pub const fn write(self) -> [u8; HEADER] {
        let [a, b] = self.id.to_le_bytes();
        let [c, d] = self.size.to_le_bytes();
        let [e, f, g, h] = self.seq.to_le_bytes();
        [a, b, c, d, e, f, g, h]
    }
}

impl Dialect {
    /// The most bytes that the VM side takes in one payload.
    pub const fn max_received(self) -> usize {
        match self {
            Self::Rfc6 => 4096 - HEADER,
            Self::V6 | Self::V7 | Self::V12 => 8192 - HEADER,
        }
    }

    /// The number of the message that carries a reply to an event.
    pub const fn event_reply(self) -> u16 {
        match self {
            Self::Rfc6 | Self::V6 | Self::V7 => 0,
            Self::V12 => 1,
        }
    }
}

/// A whole message: the header and this payload.
///
/// A payload that a header cannot announce does not exist: every row is bounded far below 64 KiB.
/// Should one be longer all the same, it is cut, so that the stream stays in step.
pub fn message(id: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    let header = Header { id, size, seq };
    let mut message = Vec::with_capacity(HEADER + payload.len());
    message.extend_from_slice(&header.write());
    message.extend_from_slice(payload.get(..size.into()).unwrap_or(payload));
    message
}

/// Writes the header of a vCPU command or of a reply to an event.
pub(super) fn put_vcpu(to: &mut Writer, vcpu: u16) {
    to.u16(vcpu);
    to.padding(VCPU_HEADER - size_of::<u16>());
}

/// Reads the header of a vCPU command: which vCPU.
///
/// # Errors
/// Padding that is not zero closes the connection, in v12 it is EINVAL.
pub(super) fn take_vcpu(from: &mut Reader<'_>, command: &'static str) -> Result<u32, Flaw> {
    let vcpu = from.u16();
    let padding = from.padding(VCPU_HEADER - size_of::<u16>());
    padding.map_err(|_| match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Close::Padding { command }.into(),
        Dialect::V12 => Flaw::Errno(Errno::INVAL),
    })?;
    Ok(vcpu.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_its_fields_in_order() {
        let header = Header {
            id: 0x0102,
            size: 0x0304,
            seq: 0x0506_0708,
        };
        assert_eq!(header.write(), [2, 1, 4, 3, 8, 7, 6, 5]);
        assert_eq!(Header::read(header.write()), header);
    }

    #[test]
    fn a_message_announces_what_follows() {
        let message = message(17, 9, &[1, 2, 3]);
        assert_eq!(message, [17, 0, 3, 0, 9, 0, 0, 0, 1, 2, 3]);
    }

    #[test]
    fn the_limit_is_a_page_less_a_header_in_rfc6_and_two_elsewhere() {
        let limits = Dialect::ALL.map(Dialect::max_received);
        assert_eq!(limits, [4088, 8184, 8184, 8184]);
    }
}
