//! What breakpoints, hypercalls, page violations and injected exceptions carry.

use super::Specific;
use crate::{
    Access, Dialect,
    events::{Breakpoint, Hypercall, Page, Trap},
    kvmi::{
        Malformed, Snapshot,
        bytes::{Reader, Writer},
        snapshot,
    },
    x86::Exception,
};

/// An address that is not known.
const NOWHERE: u64 = u64::MAX;

/// Where it is in guest-virtual memory follows from the registers.
impl Specific for Breakpoint {
    fn put(&self, to: &mut Writer) {
        to.u64(self.gpa);
        to.u8(self.length);
        to.padding(7);
    }

    fn take(from: &mut Reader<'_>, state: &Snapshot) -> Result<Self, Malformed> {
        let base = match snapshot::mode(&state.special) {
            8 => 0,
            _ => state.special.cs.base,
        };
        Ok(Self {
            gva: base.wrapping_add(state.general.rip),
            gpa: from.u64(),
            length: from.u8(),
            managed: false,
            access: Access::EXECUTE,
        })
    }
}

/// Its operands are in the registers.
impl Specific for Hypercall {
    fn put(&self, _: &mut Writer) {}

    fn take(_: &mut Reader<'_>, state: &Snapshot) -> Result<Self, Malformed> {
        Ok(Self {
            number: state.general.rax,
            a: state.general.rdi,
            b: state.general.rsi,
            c: state.general.rdx,
        })
    }
}

/// What is stored, and how much of it, does not go over the wire; only v7 names the view.
impl Specific for Page {
    fn put(&self, to: &mut Writer) {
        to.words(&[self.gva.unwrap_or(NOWHERE), self.gpa]);
        to.u8(self.access.bits());
        to.padding(1);
        match to.dialect() {
            Dialect::V7 => to.u16(self.view),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => to.padding(2),
        }
        to.padding(4);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let gva = Some(from.u64()).filter(|&gva| gva != NOWHERE);
        let gpa = from.u64();
        let bits = from.u8();
        let access = Access::from_bits(bits).ok_or(Malformed::Value {
            what: "an access",
            value: bits.into(),
        })?;
        from.skip(1);
        let view = match from.dialect() {
            Dialect::V7 => from.u16(),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => 0,
        };
        Ok(Self {
            gva,
            gpa,
            access,
            size: 0,
            value: None,
            view,
        })
    }
}

/// rfc6 and v6 have more room, and say what type of exception it is.
impl Specific for Trap {
    fn put(&self, to: &mut Writer) {
        let code = self.error_code.unwrap_or(0);
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 => {
                to.u32(self.vector.into());
                to.u32(exception_type(self.vector));
                to.u32(code);
                to.padding(4);
            }
            Dialect::V7 | Dialect::V12 => {
                to.u8(self.vector);
                to.padding(3);
                to.u32(code);
            }
        }
        to.u64(self.address);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let (vector, code) = match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 => take_wide(from)?,
            Dialect::V7 | Dialect::V12 => {
                let vector = from.u8();
                from.skip(3);
                (vector, from.u32())
            }
        };
        Ok(Self {
            vector,
            error_code: Exception::vector_has_error_code(vector).then_some(code),
            address: from.u64(),
        })
    }
}

/// Vector and error code in their wider form.
fn take_wide(from: &mut Reader<'_>) -> Result<(u8, u32), Malformed> {
    let vector = from.u32();
    from.skip(4);
    let code = from.u32();
    from.skip(4);
    let narrow = u8::try_from(vector).map_err(|_| Malformed::Value {
        what: "a vector",
        value: vector.into(),
    })?;
    Ok((narrow, code))
}

/// How KVM types an exception that an instruction raised on purpose (#BP, #OF), and any other:
/// bits 8 to 10 of VMX's interruption information (SDM vol. 3, "VM-Entry Controls for Event
/// Injection").
const fn exception_type(vector: u8) -> u32 {
    match vector {
        3 | 4 => 6 << 8,
        _ => 3 << 8,
    }
}
