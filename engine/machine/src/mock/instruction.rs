//! What a vCPU can be scripted to do that can be an event: a type for each kind, whose fields are
//! the keys of its `[[step]]`.
//!
//! An instruction is played in three parts. It *loads* its operands into registers as the step
//! begins; it *decodes* them into what an event would tell, each time it is tried; and what was
//! decoded is carried out by `effect`. So an event always agrees with the registers, and a
//! judge that changes one and answers `retry` sees the instruction take the new value.

mod device;
mod flow;
mod memory;
mod register;

use oriel_protocol::{EventData, EventKind, x86::Exception};

pub use self::{
    device::{Device, Port},
    flow::{Hypercall, Notice, Plain, Raise, Reach, Reset, TurnOff},
    memory::{Descriptor, Touch},
    register::{AskCpuid, ReadMsr, WriteCr, WriteMsr, WriteXcr},
};
use super::{cpu::Cpu, guest::Guest};

/// What an instruction would do as an event would tell it, or the fault that it raises first;
/// none if there is nothing to tell.
type Decoded = Result<Option<EventData>, Exception>;

/// The two parts that each kind has for itself.
trait Play {
    /// Puts the operands where the instruction takes them from.
    fn load(&self, _cpu: &mut Cpu) {}

    /// Takes them from there.
    fn decode(&self, guest: &Guest) -> Decoded;
}

/// An instruction, or a happening of no length, that can be an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a variant is documented by its type")]
pub enum Instruction {
    Cr(WriteCr),
    Msr(WriteMsr),
    Xsetbv(WriteXcr),
    Breakpoint(Reach),
    Hypercall(Hypercall),
    Page(Touch),
    Trap(Raise),
    Descriptor(Descriptor),
    Notice(Notice),
    Singlestep(Plain),
    Cpuid(AskCpuid),
    MsrRead(ReadMsr),
    Pio(Port),
    Mmio(Device),
    Reset(Reset),
    Shutdown(TurnOff),
}

impl Instruction {
    /// The event that it can be.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Cr(_) => EventKind::Cr,
            Self::Msr(_) => EventKind::Msr,
            Self::Xsetbv(_) => EventKind::Xsetbv,
            Self::Breakpoint(_) => EventKind::Breakpoint,
            Self::Hypercall(_) => EventKind::Hypercall,
            Self::Page(_) => EventKind::Page,
            Self::Trap(_) => EventKind::Trap,
            Self::Descriptor(_) => EventKind::Descriptor,
            Self::Notice(notice) => notice.kind(),
            Self::Singlestep(_) => EventKind::Singlestep,
            Self::Cpuid(_) => EventKind::Cpuid,
            Self::MsrRead(_) => EventKind::MsrRead,
            Self::Pio(_) => EventKind::Pio,
            Self::Mmio(_) => EventKind::Mmio,
            Self::Reset(_) => EventKind::Reset,
            Self::Shutdown(_) => EventKind::Shutdown,
        }
    }

    /// Its length in bytes where the step does not say; 0 for what is no instruction.
    pub const fn length(&self) -> u8 {
        match self {
            Self::Msr(_) | Self::MsrRead(_) | Self::Cpuid(_) => 2,
            Self::Cr(_) | Self::Xsetbv(_) | Self::Hypercall(_) | Self::Descriptor(_) => 3,
            Self::Page(_) | Self::Mmio(_) => 3,
            Self::Breakpoint(_) | Self::Singlestep(_) | Self::Pio(_) => 1,
            Self::Trap(_) | Self::Notice(_) | Self::Reset(_) | Self::Shutdown(_) => 0,
        }
    }

    /// Puts the operands where it takes them from.
    pub(super) fn load(&self, cpu: &mut Cpu) {
        match self {
            Self::Cr(it) => it.load(cpu),
            Self::Msr(it) => it.load(cpu),
            Self::Xsetbv(it) => it.load(cpu),
            Self::Breakpoint(it) => it.load(cpu),
            Self::Hypercall(it) => it.load(cpu),
            Self::Page(it) => it.load(cpu),
            Self::Trap(it) => it.load(cpu),
            Self::Descriptor(it) => it.load(cpu),
            Self::Notice(it) => it.load(cpu),
            Self::Singlestep(it) => it.load(cpu),
            Self::Cpuid(it) => it.load(cpu),
            Self::MsrRead(it) => it.load(cpu),
            Self::Pio(it) => it.load(cpu),
            Self::Mmio(it) => it.load(cpu),
            Self::Reset(it) => it.load(cpu),
            Self::Shutdown(it) => it.load(cpu),
        }
    }

    /// Takes them from there.
    #[inline]
    pub(super) fn decode(&self, guest: &Guest) -> Decoded {
        match self {
            Self::Cr(it) => it.decode(guest),
            Self::Msr(it) => it.decode(guest),
            Self::Xsetbv(it) => it.decode(guest),
            Self::Breakpoint(it) => it.decode(guest),
            Self::Hypercall(it) => it.decode(guest),
            Self::Page(it) => it.decode(guest),
            Self::Trap(it) => it.decode(guest),
            Self::Descriptor(it) => it.decode(guest),
            Self::Notice(it) => it.decode(guest),
            Self::Singlestep(it) => it.decode(guest),
            Self::Cpuid(it) => it.decode(guest),
            Self::MsrRead(it) => it.decode(guest),
            Self::Pio(it) => it.decode(guest),
            Self::Mmio(it) => it.decode(guest),
            Self::Reset(it) => it.decode(guest),
            Self::Shutdown(it) => it.decode(guest),
        }
    }
}
