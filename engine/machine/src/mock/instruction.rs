//! What a vCPU can be scripted to do that can be an event: a type for each kind, whose fields are
//! the keys of its `[[step]]`.
//!
//! An instruction is played in three parts. It *loads* its operands into registers as the step
//! begins; it *decodes* them into what an event would tell, each time it is tried; and what was
//! decoded is [carried out](super::effect). So an event always agrees with the registers, and a
//! judge that changes one and answers `retry` sees the instruction take the new value.

mod device;
mod flow;
mod memory;
mod register;

use oriel_protocol::{EventData, EventKind, x86::Exception};

pub use self::{
    device::{Device, Port},
    flow::{Hypercall, Notice, Plain, Raise, Reach, Reset, Turn},
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
    Shutdown(Turn),
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
        self.play().load(cpu);
    }

    /// Takes them from there.
    pub(super) fn decode(&self, guest: &Guest) -> Decoded {
        self.play().decode(guest)
    }

    const fn play(&self) -> &dyn Play {
        match self {
            Self::Cr(it) => it,
            Self::Msr(it) => it,
            Self::Xsetbv(it) => it,
            Self::Breakpoint(it) => it,
            Self::Hypercall(it) => it,
            Self::Page(it) => it,
            Self::Trap(it) => it,
            Self::Descriptor(it) => it,
            Self::Notice(it) => it,
            Self::Singlestep(it) => it,
            Self::Cpuid(it) => it,
            Self::MsrRead(it) => it,
            Self::Pio(it) => it,
            Self::Mmio(it) => it,
            Self::Reset(it) => it,
            Self::Shutdown(it) => it,
        }
    }
}
