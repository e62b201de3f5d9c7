//! Exit → event: what a vCPU has done, and whether anybody wants to hear of it.
//!
//! ```text
//!   RawExit ── subject ──► Wanted(Pending) ── event ──► Event
//!                     ├──► Silent(Pending)   KVM waits for us, but nobody listens
//!                     └──► NotOurs           for whoever runs the vCPU: a device, a halt, …
//! ```

use oriel_protocol::{
    Access as Watch, Event, EventData, EventKind,
    events::{
        Breakpoint, Mmio, Msr, MsrRead, Page, Pio, Reset, Shutdown, ShutdownCause, Singlestep, Trap,
    },
};

use super::{
    exit::{DebugExit, MsrExit, PortExit, RawExit},
    habits::Habits,
    pending::{Access, Break, Pending, Place, Watched},
};
use crate::{End, Ranges, Wants};

/// What an exit is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Somebody wants to hear of it.
    Wanted(Pending),
    /// Nobody does (any more), but KVM has left it to us to do.
    Silent(Pending),
    /// An INT3 was met; whose it is, memory says.
    Int3,
    /// The instruction could not be run: it may be at a trapped page.
    Blocked,
    /// #DB: a stepped instruction is over, or a hardware point was met.
    Debugged(DebugExit),
    /// None of Oriel's business.
    NotOurs,
}

/// Where a vCPU stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The instruction pointer.
    pub ip: u64,
    /// CR3.
    pub cr3: u64,
    /// The privilege level.
    pub cpl: u8,
}

/// What this exit is about. Values that it takes an ioctl or a device to know are not in yet: the
/// old value of an MSR, and what a device answers.
pub fn subject(exit: &RawExit, wants: &Wants, habits: Habits) -> Subject {
    match exit {
        RawExit::Msr(exit) if exit.is_filtered() => msr(exit, wants),
        RawExit::Port(_) | RawExit::Memory { .. } => match access(exit, habits) {
            Some(access) if wants_access(wants, &access) => {
                Subject::Wanted(Pending::Access(access))
            }
            Some(_) | None => Subject::NotOurs,
        },
        RawExit::Shutdown if wants.kind(EventKind::Shutdown) => {
            Subject::Wanted(Pending::Shutdown {
                cause: ShutdownCause::TripleFault,
                end: End::Shutdown(ShutdownCause::TripleFault),
            })
        }
        // An MSR exit without the filter's bit is an embedder's own (reasons INVAL, UNKNOWN).
        RawExit::Msr(_) | RawExit::Shutdown | RawExit::Halt | RawExit::Interrupted => {
            Subject::NotOurs
        }
        RawExit::Debug(debug) if debug.is_int3() => Subject::Int3,
        RawExit::Debug(debug) if debug.is_debug() => Subject::Debugged(*debug),
        RawExit::Internal(error) if error.is_int3() => Subject::Int3,
        RawExit::Internal(error) if error.is_emulation() => Subject::Blocked,
        RawExit::Fault => Subject::Blocked,
        RawExit::Debug(_) | RawExit::Internal(_) => Subject::NotOurs,
        RawExit::System(_) | RawExit::FailEntry(_) | RawExit::Other(_) => Subject::NotOurs,
    }
}

fn msr(exit: &MsrExit, wants: &Wants) -> Subject {
    let (msr, number) = (exit.msr, u64::from(exit.msr));
    let (pending, wanted) = match exit.written {
        Some(new) => (
            Pending::MsrWrite {
                msr,
                old: None,
                new,
            },
            wants.kind(EventKind::Msr) && wants.msr_writes.contains(number),
        ),
        None => (
            Pending::MsrRead { msr, value: None },
            wants.kind(EventKind::MsrRead) && wants.msr_reads.contains(number),
        ),
    };
    if wanted {
        Subject::Wanted(pending)
    } else {
        Subject::Silent(pending)
    }
}

/// The access to a device that an exit is about; its value is not in yet.
pub fn access(exit: &RawExit, habits: Habits) -> Option<Access> {
    let access = |place, write, size, count| Access {
        place,
        write,
        size,
        count,
        value: 0,
        retired: write,
    };
    match *exit {
        RawExit::Port(PortExit {
            port,
            write,
            size,
            count,
        }) => Some(Access {
            // Strings are emulated everywhere; one of a single element cannot be told from OUT.
            retired: write && (habits.output_retires || count > 1),
            ..access(Place::Port(port), write, size, count)
        }),
        RawExit::Memory { gpa, write, size } => Some(access(Place::Memory(gpa), write, size, 1)),
        RawExit::Msr(_) | RawExit::Halt | RawExit::Shutdown | RawExit::Interrupted => None,
        RawExit::System(_) | RawExit::Internal(_) | RawExit::FailEntry(_) => None,
        RawExit::Debug(_) | RawExit::Fault | RawExit::Other(_) => None,
    }
}

fn wants_access(wants: &Wants, access: &Access) -> bool {
    let (kind, first, ranges) = match (access.place, access.write) {
        (Place::Port(port), false) => (EventKind::Pio, u64::from(port), &wants.pio_reads),
        (Place::Port(port), true) => (EventKind::Pio, u64::from(port), &wants.pio_writes),
        (Place::Memory(gpa), false) => (EventKind::Mmio, gpa, &wants.mmio_reads),
        (Place::Memory(gpa), true) => (EventKind::Mmio, gpa, &wants.mmio_writes),
    };
    wants.kind(kind) && touches(ranges, first, access.size)
}

/// Whether any byte is in the set: an access that begins below a watched port reaches it too.
fn touches(ranges: &Ranges<u64>, first: u64, size: u8) -> bool {
    (0..u64::from(size)).any(|offset| ranges.contains(first.wrapping_add(offset)))
}

/// The event of what has been done.
pub fn event(pending: &Pending, at: At) -> Event {
    Event {
        data: data(pending),
        ip: at.ip,
        cr3: at.cr3,
        cpl: at.cpl,
        allowed: pending.allowed(),
        retired: pending.is_retired(),
    }
}

fn data(pending: &Pending) -> EventData {
    match *pending {
        Pending::MsrWrite { msr, old, new } => Msr {
            msr,
            old: old.unwrap_or_default(),
            new,
        }
        .into(),
        Pending::MsrRead { msr, value } => MsrRead {
            msr,
            value: value.unwrap_or_default(),
        }
        .into(),
        Pending::Access(access) => access_data(access),
        Pending::Breakpoint(int3) => Breakpoint {
            gva: int3.gva,
            gpa: int3.gpa,
            length: Break::LENGTH,
            managed: int3.managed,
            access: Watch::EXECUTE,
        }
        .into(),
        Pending::Watched(Watched { point, gpa }) => Breakpoint {
            gva: point.gva(),
            gpa,
            length: point.length(),
            managed: true,
            access: point.access(),
        }
        .into(),
        Pending::Page(touch) => Page {
            gva: touch.gva,
            gpa: touch.gpa,
            access: touch.access,
            size: touch.size,
            value: touch.value,
            view: 0,
        }
        .into(),
        Pending::Step => Singlestep { failed: false }.into(),
        Pending::Trap(exception) => Trap {
            vector: exception.vector,
            error_code: exception.error_code,
            address: exception.address,
        }
        .into(),
        Pending::Reset => Reset {}.into(),
        Pending::Shutdown { cause, .. } => Shutdown { cause }.into(),
    }
}

const fn access_data(access: Access) -> EventData {
    let Access {
        write, size, value, ..
    } = access;
    match access.place {
        Place::Port(port) => EventData::Pio(Pio {
            port,
            write,
            size,
            count: access.count,
            value,
        }),
        Place::Memory(gpa) => EventData::Mmio(Mmio {
            gpa,
            write,
            size,
            value,
        }),
    }
}

#[cfg(test)]
mod tests;
