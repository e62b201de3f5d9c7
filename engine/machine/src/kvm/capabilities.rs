//! What the kvm machine can do, and why not where it cannot.

use oriel_protocol::{Capabilities, EventKind, Support, VerdictSet};

use super::{
    decode::Habits,
    pending::{END_VERDICTS, MSR_VERDICTS, TRAP_VERDICTS},
};

const NOT_YET: &str = "not in this version of Oriel's kvm machine";

const PORTS: &str =
    "KVM_EXIT_IO; an OUT is reported at its instruction, a string of them behind it";
/// The same where KVM emulates.
const PORTS_BEHIND: &str = "KVM_EXIT_IO; an OUT is reported behind its instruction";
const MEMORY: &str =
    "KVM_EXIT_MMIO, in fragments of up to 8 bytes; a store is reported behind its instruction";

/// How an event comes about, and the verdicts that it takes.
type Mechanism = (&'static str, VerdictSet);

/// How events of this kind come about.
///
/// # Errors
/// Why they do not.
pub(super) const fn mechanism(kind: EventKind) -> Result<Mechanism, &'static str> {
    let device = VerdictSet::CONTINUE
        .union(VerdictSet::REPLACE)
        .union(VerdictSet::SKIP)
        .union(VerdictSet::CRASH);
    Ok(match kind {
        EventKind::Msr => ("KVM_EXIT_X86_WRMSR, by an MSR filter", MSR_VERDICTS),
        EventKind::MsrRead => ("KVM_EXIT_X86_RDMSR, by an MSR filter", MSR_VERDICTS),
        EventKind::Pio => (PORTS, device),
        EventKind::Mmio => (MEMORY, device),
        EventKind::Reset => ("port 0x64 or 0xcf9", END_VERDICTS),
        EventKind::Shutdown => (
            "KVM_EXIT_SHUTDOWN, port 0xf4, or the last vCPU's HLT",
            END_VERDICTS,
        ),
        EventKind::CreateVcpu | EventKind::Pause | EventKind::Unhook | EventKind::CommandError => {
            ("raised by the engine", VerdictSet::CONTINUE)
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
        EventKind::Trap => (
            "KVM_SET_VCPU_EVENTS; told before the entry that delivers what was injected",
            TRAP_VERDICTS,
        ),
        EventKind::Breakpoint | EventKind::Page | EventKind::Singlestep => return Err(NOT_YET),
    })
}

/// The table for a host of these habits.
pub(super) fn capabilities(habits: Habits) -> Capabilities {
    let row = |table: Capabilities, kind| match mechanism(kind) {
        Ok((_, verdicts)) if kind == EventKind::Pio && habits.output_retires => {
            table.event(kind, PORTS_BEHIND, verdicts)
        }
        Ok((mechanism, verdicts)) => table.event(kind, mechanism, verdicts),
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
        .limited(
            "interrupts",
            Support::No,
            "the reference VMM has no interrupt controller: a vCPU that halts stays halted",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_listed_with_a_mechanism_or_a_reason() {
        let table = capabilities(Habits {
            output_retires: true,
            guarded_misc_enable: true,
        });
        for &kind in EventKind::ALL {
            let row = table.get(kind.name()).unwrap();
            assert_ne!(
                row.mechanism.is_empty(),
                row.reason.is_empty(),
                "{}",
                kind.name()
            );
            assert!(kind.verdicts().contains(row.verdicts), "{}", kind.name());
        }
    }

    #[test]
    fn facilities_that_commands_ask_for_are_listed() {
        let table = capabilities(Habits {
            output_retires: false,
            guarded_misc_enable: true,
        });
        for name in [
            "registers",
            "msrs",
            "xsave",
            "memory",
            "memory-write",
            "pause",
            "hold",
        ] {
            assert_eq!(
                table.get(name).map(|row| row.support),
                Some(Support::Yes),
                "{name}"
            );
        }
    }
}
