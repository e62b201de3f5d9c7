//! What each kind of event carries of its own, behind the part that all have in common. It owns
//! those bytes, and how a tool fills in what the wire leaves out: from the registers that came
//! along, or with nothing.

use crate::{
    Access, Dialect, EventData, EventKind,
    events::{
        Breakpoint, CommandError, Cpuid, Cr, CreateVcpu, Descriptor, Hypercall, Msr, Page, Pause,
        Singlestep, Table, Trap, Unhook, Xsetbv,
    },
    kvmi::{
        Malformed, Snapshot,
        bytes::{Reader, Writer},
        snapshot,
    },
    x86::{CpuidLeaf, Exception, General},
};

/// Length of the CPUID instruction, 0F A2.
const CPUID_LENGTH: u8 = 2;
/// An address that is not known.
const NOWHERE: u64 = u64::MAX;

/// Writes what the kind has of its own.
pub(super) fn put(data: &EventData, to: &mut Writer) {
    match data {
        EventData::Cr(event) => put_cr(event, to),
        EventData::Msr(event) => put_msr(event, to),
        EventData::Xsetbv(event) => put_xsetbv(event, to),
        EventData::Breakpoint(event) => put_breakpoint(event, to),
        EventData::Page(event) => put_page(event, to),
        EventData::Trap(event) => put_trap(event, to),
        EventData::Descriptor(event) => put_descriptor(event, to),
        EventData::Singlestep(event) => put_singlestep(event, to),
        EventData::CommandError(event) => put_command_error(event, to),
        EventData::Cpuid(event) => put_cpuid(event, to),
        EventData::Hypercall(_) | EventData::CreateVcpu(_) | EventData::Pause(_) => {}
        EventData::Unhook(_) => {}
        // No dialect has a number for these, so nobody gets here with one.
        EventData::MsrRead(_) | EventData::Pio(_) | EventData::Mmio(_) => {}
        EventData::Reset(_) | EventData::Shutdown(_) => {}
    }
}

/// Reads what the kind has of its own.
///
/// # Errors
/// [`Malformed`] if a field makes no sense, or no dialect has the kind.
pub(super) fn take(
    kind: EventKind,
    from: &mut Reader<'_>,
    state: &Snapshot,
) -> Result<EventData, Malformed> {
    Ok(match kind {
        EventKind::Cr => take_cr(from)?.into(),
        EventKind::Msr => take_msr(from).into(),
        EventKind::Xsetbv => take_xsetbv(from, &state.general).into(),
        EventKind::Breakpoint => take_breakpoint(from, state).into(),
        EventKind::Hypercall => hypercall(&state.general).into(),
        EventKind::Page => take_page(from)?.into(),
        EventKind::Trap => take_trap(from)?.into(),
        EventKind::Descriptor => take_descriptor(from)?.into(),
        EventKind::CreateVcpu => CreateVcpu {}.into(),
        EventKind::Pause => Pause {}.into(),
        EventKind::Singlestep => take_singlestep(from).into(),
        EventKind::CommandError => take_command_error(from).into(),
        EventKind::Cpuid => take_cpuid(from).into(),
        EventKind::Unhook => Unhook {}.into(),
        EventKind::MsrRead | EventKind::Pio | EventKind::Mmio => {
            return Err(not_spoken(kind, from));
        }
        EventKind::Reset | EventKind::Shutdown => return Err(not_spoken(kind, from)),
    })
}

const fn not_spoken(kind: EventKind, from: &Reader<'_>) -> Malformed {
    Malformed::NotSpoken {
        what: kind.name(),
        dialect: from.dialect(),
    }
}

fn put_cr(event: &Cr, to: &mut Writer) {
    to.u16(event.cr.into());
    to.padding(6);
    to.words(&[event.old, event.new]);
}

fn take_cr(from: &mut Reader<'_>) -> Result<Cr, Malformed> {
    let number = match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => from.u16(),
        Dialect::V12 => {
            let number = from.u8().into();
            from.skip(1);
            number
        }
    };
    from.skip(6);
    let cr = u8::try_from(number).map_err(|_| Malformed::Value {
        what: "a control register",
        value: number.into(),
    })?;
    let (old, new) = (from.u64(), from.u64());
    Ok(Cr { cr, old, new })
}

fn put_msr(event: &Msr, to: &mut Writer) {
    to.u32(event.msr);
    to.padding(4);
    to.words(&[event.old, event.new]);
}

fn take_msr(from: &mut Reader<'_>) -> Msr {
    let msr = from.u32();
    from.skip(4);
    let (old, new) = (from.u64(), from.u64());
    Msr { msr, old, new }
}

/// Only v12 says what is written to which register.
fn put_xsetbv(event: &Xsetbv, to: &mut Writer) {
    if to.dialect() == Dialect::V12 {
        to.u8(event.xcr);
        to.padding(7);
        to.words(&[event.old, event.new]);
    }
}

/// Elsewhere the operands are in the registers, and the old value is not known: 0.
fn take_xsetbv(from: &mut Reader<'_>, general: &General) -> Xsetbv {
    match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Xsetbv {
            xcr: general.rcx.to_le_bytes()[0],
            old: 0,
            new: general.rdx << 32 | general.rax & 0xffff_ffff,
        },
        Dialect::V12 => {
            let xcr = from.u8();
            from.skip(7);
            let (old, new) = (from.u64(), from.u64());
            Xsetbv { xcr, old, new }
        }
    }
}

fn put_breakpoint(event: &Breakpoint, to: &mut Writer) {
    to.u64(event.gpa);
    to.u8(event.length);
    to.padding(7);
}

fn take_breakpoint(from: &mut Reader<'_>, state: &Snapshot) -> Breakpoint {
    let base = match snapshot::mode(&state.special) {
        8 => 0,
        _ => state.special.cs.base,
    };
    Breakpoint {
        gva: base.wrapping_add(state.general.rip),
        gpa: from.u64(),
        length: from.u8(),
        managed: false,
    }
}

/// Its operands are in the registers.
const fn hypercall(general: &General) -> Hypercall {
    Hypercall {
        number: general.rax,
        a: general.rdi,
        b: general.rsi,
        c: general.rdx,
    }
}

fn put_page(event: &Page, to: &mut Writer) {
    to.u64(event.gva.unwrap_or(NOWHERE));
    to.u64(event.gpa);
    to.u8(event.access.bits());
    to.padding(1);
    match to.dialect() {
        Dialect::V7 => to.u16(event.view),
        Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => to.padding(2),
    }
    to.padding(4);
}

fn take_page(from: &mut Reader<'_>) -> Result<Page, Malformed> {
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
    Ok(Page {
        gva,
        gpa,
        access,
        size: 0,
        value: None,
        view,
    })
}

/// How hardware types an exception that an instruction raised on purpose (#BP, #OF), and any
/// other (SDM vol. 3, section 25.8.3, in the place where KVM keeps it).
const fn exception_type(vector: u8) -> u32 {
    match vector {
        3 | 4 => 6 << 8,
        _ => 3 << 8,
    }
}

fn put_trap(event: &Trap, to: &mut Writer) {
    let code = event.error_code.unwrap_or(0);
    match to.dialect() {
        Dialect::Rfc6 | Dialect::V6 => {
            to.u32(event.vector.into());
            to.u32(exception_type(event.vector));
            to.u32(code);
            to.padding(4);
        }
        Dialect::V7 | Dialect::V12 => {
            to.u8(event.vector);
            to.padding(3);
            to.u32(code);
        }
    }
    to.u64(event.address);
}

fn take_trap(from: &mut Reader<'_>) -> Result<Trap, Malformed> {
    let (vector, code) = match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 => {
            let vector = from.u32();
            from.skip(4);
            let code = from.u32();
            from.skip(4);
            (vector, code)
        }
        Dialect::V7 | Dialect::V12 => {
            let vector = from.u8().into();
            from.skip(3);
            (vector, from.u32())
        }
    };
    let vector = u8::try_from(vector).map_err(|_| Malformed::Value {
        what: "a vector",
        value: vector.into(),
    })?;
    Ok(Trap {
        vector,
        error_code: Exception::vector_has_error_code(vector).then_some(code),
        address: from.u64(),
    })
}

fn put_descriptor(event: &Descriptor, to: &mut Writer) {
    to.u8(event.table as u8);
    to.switch(event.write);
    to.padding(6);
}

fn take_descriptor(from: &mut Reader<'_>) -> Result<Descriptor, Malformed> {
    let table = match from.u8() {
        1 => Table::Idtr,
        2 => Table::Gdtr,
        3 => Table::Ldtr,
        4 => Table::Tr,
        other => {
            return Err(Malformed::Value {
                what: "a descriptor-table register",
                value: other.into(),
            });
        }
    };
    let write = from.u8() != 0;
    Ok(Descriptor { table, write })
}

/// v6 does not say whether it failed.
fn put_singlestep(event: &Singlestep, to: &mut Writer) {
    match to.dialect() {
        Dialect::Rfc6 | Dialect::V6 => {}
        Dialect::V7 | Dialect::V12 => {
            to.switch(event.failed);
            to.padding(7);
        }
    }
}

fn take_singlestep(from: &mut Reader<'_>) -> Singlestep {
    let failed = match from.dialect() {
        Dialect::Rfc6 | Dialect::V6 => false,
        Dialect::V7 | Dialect::V12 => from.u8() != 0,
    };
    Singlestep { failed }
}

fn put_command_error(event: &CommandError, to: &mut Writer) {
    to.i32(event.error);
    to.u32(event.seq);
    to.u16(event.id);
    to.padding(6);
}

fn take_command_error(from: &mut Reader<'_>) -> CommandError {
    CommandError {
        error: from.i32(),
        seq: from.u32(),
        id: from.u16(),
    }
}

fn put_cpuid(event: &Cpuid, to: &mut Writer) {
    to.u32(event.function);
    to.u32(event.index);
    to.u8(CPUID_LENGTH);
    to.padding(7);
}

/// What the guest would see does not come along.
fn take_cpuid(from: &mut Reader<'_>) -> Cpuid {
    Cpuid {
        function: from.u32(),
        index: from.u32(),
        leaf: CpuidLeaf::default(),
    }
}
