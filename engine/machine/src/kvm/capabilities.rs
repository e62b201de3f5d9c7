//! What the kvm machine can do, and why not where it cannot.

use oriel_protocol::{Capabilities, EventKind, Support, VerdictSet};

use super::{
    habits::Habits,
    pending::{END_VERDICTS, MSR_VERDICTS, TRAP_VERDICTS},
};

mod debug;
mod limits;

pub(super) use debug::{code_points, int3s};
pub(super) use limits::Served;

const PORTS: &str =
    "KVM_EXIT_IO; an OUT is reported at its instruction, a string of them behind it";
/// The same where KVM emulates.
const PORTS_BEHIND: &str = "KVM_EXIT_IO; an OUT is reported behind its instruction";
const MEMORY: &str =
    "KVM_EXIT_MMIO, in fragments of up to 8 bytes; a store is reported behind its instruction";

const PAGES: &str = "mprotect of KVM's mapping, never userfaultfd or a read-only slot; the instruction says what it touches";

/// The verdicts that an access to a device can take.
const DEVICE_VERDICTS: VerdictSet = VerdictSet::CONTINUE
    .union(VerdictSet::REPLACE)
    .union(VerdictSet::SKIP)
    .union(VerdictSet::CRASH);

/// How an event comes about.
pub(super) struct Mechanism {
    how: &'static str,
    verdicts: VerdictSet,
    /// What is missing; none where nothing is.
    limits: Vec<&'static str>,
}

const fn by(how: &'static str, verdicts: VerdictSet) -> Mechanism {
    within(how, verdicts, Vec::new())
}

const fn within(how: &'static str, verdicts: VerdictSet, limits: Vec<&'static str>) -> Mechanism {
    Mechanism {
        how,
        verdicts,
        limits,
    }
}

impl Mechanism {
    /// The same on a VM some of whose devices KVM serves itself.
    fn beside(mut self, kind: EventKind, served: Served) -> Self {
        self.limits.extend(served.beside(kind));
        self
    }
}

/// How events of this kind come about on a host of these habits.
///
/// # Errors
/// Why they do not.
pub(super) fn mechanism(kind: EventKind, habits: Habits) -> Result<Mechanism, &'static str> {
    Ok(match kind {
        EventKind::Msr => within(
            "KVM_EXIT_X86_WRMSR, by an MSR filter",
            MSR_VERDICTS,
            limits::MSR_WRITES.to_vec(),
        ),
        EventKind::MsrRead => within(
            "KVM_EXIT_X86_RDMSR, by an MSR filter",
            MSR_VERDICTS,
            limits::MSR_READS.to_vec(),
        ),
        EventKind::Pio if habits.output_retires => by(PORTS_BEHIND, DEVICE_VERDICTS),
        EventKind::Pio => by(PORTS, DEVICE_VERDICTS),
        EventKind::Mmio => by(MEMORY, DEVICE_VERDICTS),
        EventKind::Reset => by("port 0x64 or 0xcf9", END_VERDICTS),
        EventKind::Shutdown => by(
            "KVM_EXIT_SHUTDOWN, port 0xf4, or the last vCPU's HLT",
            END_VERDICTS,
        ),
        EventKind::CreateVcpu | EventKind::Pause | EventKind::Unhook | EventKind::CommandError => {
            by("raised by the engine", VerdictSet::CONTINUE)
        }
        EventKind::Cr => {
            return Err(
                "a stock KVM never reports writes to control registers; CR3 comes with every event",
            );
        }
        EventKind::Xsetbv => return Err("a stock KVM handles XSETBV in the kernel"),
        EventKind::Hypercall => {
            return Err(
                "a stock KVM answers VMCALL in the kernel; a reserved port (`pio`) is the way to call",
            );
        }
        EventKind::Descriptor => {
            return Err(
                "a stock KVM never reports descriptor tables; they come with the special registers",
            );
        }
        EventKind::Cpuid => return Err("a stock KVM answers CPUID in the kernel"),
        EventKind::Trap => by(
            "KVM_SET_VCPU_EVENTS; told before the entry that delivers what was injected",
            TRAP_VERDICTS,
        ),
        EventKind::Singlestep => return debug::steps(habits),
        EventKind::Breakpoint => return debug::breakpoints(habits),
        EventKind::Page => within(PAGES, EventKind::Page.verdicts(), limits::pages(habits)),
    })
}

/// The table for a VM on a host of these habits.
pub(super) fn capabilities(habits: Habits, served: Served) -> Capabilities {
    let known = |kind| mechanism(kind, habits).map(|known| known.beside(kind, served));
    let row = |table: Capabilities, kind| match known(kind) {
        Ok(known) if known.limits.is_empty() => table.event(kind, known.how, known.verdicts),
        Ok(known) => table.event_within(kind, known.how, known.verdicts, known.limits.join("; ")),
        Err(reason) => table.no_event(kind, reason),
    };
    let events = EventKind::ALL.iter().copied();
    events
        .fold(Capabilities::default(), row)
        .facility("registers", "KVM_CAP_SYNC_REGS")
        .facility(
            "msrs",
            "KVM_GET_MSRS and KVM_SET_MSRS, by the rules of a guest's write",
        )
        .facility("xsave", "KVM_GET_XSAVE and KVM_SET_XSAVE")
        .facility("memory", "a mapping of the guest's memfd")
        .facility("memory-write", "a mapping of the guest's memfd")
        .facility("pause", "immediate_exit and a signal")
        .facility("hold", "immediate_exit and a signal")
}

/// The same for a VM of our own, with what is to be said about interrupts.
pub(super) fn of_vm(habits: Habits, interrupts: bool) -> Capabilities {
    if interrupts {
        return capabilities(habits, Served::Chips)
            .facility("interrupts", "KVM_CREATE_IRQCHIP and KVM_CREATE_PIT2");
    }
    capabilities(habits, Served::Nothing).limited(
        "interrupts",
        Support::No,
        "flat images run without an interrupt controller: a vCPU that halts stays halted",
    )
}

#[cfg(test)]
mod tests;
