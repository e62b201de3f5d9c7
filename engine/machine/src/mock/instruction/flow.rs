//! Instructions that change what runs next, and happenings that are no instruction.

use oriel_protocol::{
    Access, EventData, EventKind,
    events::{self, ShutdownCause},
    x86::Exception,
};
use serde::Deserialize;

use super::{Decoded, Play};
use crate::mock::{
    cpu::Cpu,
    guest::Guest,
    scenario::value::{cause, number, optional},
};

/// The opcode of a breakpoint instruction.
const INT3: u8 = 0xcc;

/// `event = "breakpoint"`: runs the instruction at RIP as it stands in memory, if that is INT3.
///
/// A managed breakpoint stops *every* instruction; this step is for the others, which the guest
/// or a tool wrote, and for reaching an address that nothing else in the script does.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Reach {}

impl Play for Reach {
    fn decode(&self, guest: &Guest) -> Decoded {
        let gva = guest.cpu.general.rip;
        let gpa = guest.translate(gva, Access::EXECUTE)?;
        let unmanaged = events::Breakpoint {
            gva,
            gpa,
            length: 1,
            managed: false,
            access: Access::EXECUTE,
        };
        Ok((guest.load(gpa, 1) == u64::from(INT3)).then_some(unmanaged.into()))
    }
}

/// `event = "hypercall"`: VMCALL. Nobody answers it but a verdict: RAX becomes −1000
/// (`KVM_ENOSYS`).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Hypercall {
    /// RAX.
    #[serde(deserialize_with = "number")]
    pub number: u64,
    /// RDI.
    #[serde(default, deserialize_with = "number")]
    pub a: u64,
    /// RSI.
    #[serde(default, deserialize_with = "number")]
    pub b: u64,
    /// RDX.
    #[serde(default, deserialize_with = "number")]
    pub c: u64,
}

impl Play for Hypercall {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rax = self.number;
        cpu.general.rdi = self.a;
        cpu.general.rsi = self.b;
        cpu.general.rdx = self.c;
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let registers = &guest.cpu.general;
        let call = events::Hypercall {
            number: registers.rax,
            a: registers.rdi,
            b: registers.rsi,
            c: registers.rdx,
        };
        Ok(Some(call.into()))
    }
}

/// `event = "singlestep"`: one instruction that does nothing. Where the vCPU is stepped, the
/// event follows it, as it follows every instruction.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// It cannot be stepped, and the event says so.
    #[serde(default)]
    pub failed: bool,
}

impl Play for Plain {
    fn decode(&self, _guest: &Guest) -> Decoded {
        Ok(None)
    }
}

/// `event = "trap"`: the host injects an exception by itself. An instruction faults by doing what
/// it must not.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raise {
    /// 0 to 31.
    #[serde(deserialize_with = "number")]
    pub vector: u8,
    /// For the vectors that push one.
    #[serde(default, deserialize_with = "optional")]
    pub error_code: Option<u32>,
    /// For a page fault: the address that goes to CR2.
    #[serde(default, deserialize_with = "number")]
    pub address: u64,
}

impl Play for Raise {
    fn load(&self, cpu: &mut Cpu) {
        cpu.pending = Some(Exception {
            vector: self.vector,
            error_code: self.error_code,
            address: self.address,
        });
    }

    fn decode(&self, _guest: &Guest) -> Decoded {
        Ok(None)
    }
}

/// `event = "create-vcpu" | "pause" | "unhook"`: a machine's notice. The mock raises none by
/// itself: the engine pauses and unhooks, and its vCPUs are there from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the kind of event of its name")]
pub enum Notice {
    CreateVcpu,
    Pause,
    Unhook,
}

impl Notice {
    /// The event that it is.
    pub const fn kind(self) -> EventKind {
        match self {
            Self::CreateVcpu => EventKind::CreateVcpu,
            Self::Pause => EventKind::Pause,
            Self::Unhook => EventKind::Unhook,
        }
    }
}

impl Play for Notice {
    fn decode(&self, _guest: &Guest) -> Decoded {
        Ok(Some(match self {
            Self::CreateVcpu => EventData::CreateVcpu(events::CreateVcpu {}),
            Self::Pause => EventData::Pause(events::Pause {}),
            Self::Unhook => EventData::Unhook(events::Unhook {}),
        }))
    }
}

/// `event = "reset"`: the vCPU's registers are as at the start. Memory stays as it is, and the
/// script goes on.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Reset {}

impl Play for Reset {
    fn decode(&self, _guest: &Guest) -> Decoded {
        Ok(Some(events::Reset {}.into()))
    }
}

/// `event = "shutdown"`: the guest turns itself off, or falls over.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TurnOff {
    /// Why.
    #[serde(deserialize_with = "cause")]
    pub cause: ShutdownCause,
}

impl Play for TurnOff {
    fn decode(&self, _guest: &Guest) -> Decoded {
        Ok(Some(events::Shutdown { cause: self.cause }.into()))
    }
}
