//! The rows for guest-physical memory and for frame numbers.

use super::{Layout, at_least, no_data, no_request, short, word_data};
use crate::{
    Dialect, Gpa, Request,
    commands::{
        vcpu::{AllocGfn, ChangeGfn, FreeGfn, TranslateGva},
        vm::{
            GetMapToken, GetMaxGfn, GetNextAvailableGfn, QueryPhysical, ReadPhysical, WritePhysical,
        },
    },
    kvmi::{
        Errno, Flaw, Malformed,
        bytes::{Reader, Writer},
    },
};

/// Where, and how many bytes: 64 bits of size, in v12 16.
fn take_range(from: &mut Reader<'_>) -> Result<(Gpa, u64), Flaw> {
    let gpa = from.u64();
    match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Ok((gpa, from.u64())),
        Dialect::V12 => {
            let size = from.u16().into();
            from.padding(6)?;
            Ok((gpa, size))
        }
    }
}

fn put_range(to: &mut Writer, gpa: Gpa, size: u64) {
    to.u64(gpa);
    match to.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => to.u64(size),
        Dialect::V12 => {
            to.u16(u16::try_from(size).unwrap_or(u16::MAX));
            to.padding(6);
        }
    }
}

impl Layout for ReadPhysical {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (gpa, size) = take_range(from)?;
        let length = u32::try_from(size).map_err(|_| Errno::INVAL)?;
        Ok(Self { gpa, length })
    }

    fn put(&self, to: &mut Writer) {
        put_range(to, self.gpa, self.length.into());
    }

    fn put_reply(bytes: &Vec<u8>, to: &mut Writer) {
        to.raw(bytes);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(from.rest().to_vec())
    }
}

impl Layout for WritePhysical {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (gpa, size) = take_range(from)?;
        let had = from.remaining();
        let bytes = usize::try_from(size).ok().and_then(|size| from.take(size));
        let bytes = bytes.ok_or_else(|| short(Self::ID.name(), size, had))?;
        let bytes = bytes.to_vec();
        Ok(Self { gpa, bytes })
    }

    fn put(&self, to: &mut Writer) {
        put_range(to, self.gpa, self.bytes.len() as u64);
        to.raw(&self.bytes);
    }
}

impl Layout for GetMapToken {
    const RETURNS_DATA: bool = true;
    no_request!(GetMapToken);

    fn put_reply(token: &[u64; 4], to: &mut Writer) {
        to.words(token);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<[u64; 4], Malformed> {
        at_least(from, Self::ID.name(), 32)?;
        Ok(std::array::from_fn(|_| from.u64()))
    }
}

impl Layout for GetMaxGfn {
    no_request!(GetMaxGfn);
    word_data!();
}

impl Layout for GetNextAvailableGfn {
    no_request!(GetNextAvailableGfn);
    word_data!();
}

impl Layout for QueryPhysical {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(Self { gfn: from.u64() })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gfn);
    }

    fn put_reply(&(gfn, pages): &(u64, u64), to: &mut Writer) {
        to.u64(gfn);
        to.u64(pages);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<(u64, u64), Malformed> {
        at_least(from, Self::ID.name(), 16)?;
        Ok((from.u64(), from.u64()))
    }
}

impl Layout for TranslateGva {
    word_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(Self { gva: from.u64() })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gva);
    }
}

impl Layout for AllocGfn {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(Self { gfn: from.u64() })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gfn);
    }
}

impl Layout for FreeGfn {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(Self { gfn: from.u64() })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gfn);
    }
}

/// An older form of 16 bytes has no view; it is told apart by its size.
impl Layout for ChangeGfn {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let view = match from.remaining() {
            ..=16 => 0,
            _ => {
                let view = from.u16();
                from.padding(6)?;
                view
            }
        };
        let (old, new) = (from.u64(), from.u64());
        Ok(Self { view, old, new })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(self.view);
        to.padding(6);
        to.u64(self.old);
        to.u64(self.new);
    }
}
