//! What the qemu machine can do, and why not where it cannot.

use oriel_protocol::{Capabilities, EventKind, Support};

use super::{
    memory::Source,
    world::{BEFORE, BEHIND},
};

const BREAKPOINTS: &str = "the gdbstub's Z0, at each virtual address that leads there; Z1 to Z4 for what debug registers watch";
const BREAKPOINT_LIMITS: &str = "each hit stops all vCPUs; a page of user code is watched at the addresses that are mapped when the breakpoint is placed; an INT3 that somebody else wrote is the guest's own; of two vCPUs that stop together one watched access may be lost";
const STEPS: &str = "the gdbstub's vCont;s, interrupts and timers held off";
const STEP_LIMITS: &str = "each step stops all vCPUs";

/// The table. `source`: none where nothing is attached, and it is only asked what would be.
pub(super) fn capabilities(source: Option<&Source>) -> Capabilities {
    let table = EventKind::ALL
        .iter()
        .copied()
        .fold(Capabilities::default(), event);
    let memory = source.map_or(
        "QEMU's shared memory backend, read-only; without one the gdbstub's `m`, which stops the world",
        Source::mechanism,
    );
    table
        .facility(
            "registers",
            "the gdbstub's g and P; segments and tables by the monitor",
        )
        .limited(
            "msrs",
            Support::Partly,
            "EFER and the bases of FS, GS and KERNEL_GS; QEMU shows no other",
        )
        .limited("xsave", Support::No, "the gdbstub has no XSAVE area")
        .facility("memory", memory)
        .facility(
            "memory-write",
            "the gdbstub's M, at physical addresses, which stops the world",
        )
        .facility("pause", "the gdbstub's interrupt, which stops all vCPUs")
        .facility("hold", "nothing runs while an event is open")
        .limited("interrupts", Support::Yes, "")
}

fn event(table: Capabilities, kind: EventKind) -> Capabilities {
    match kind {
        EventKind::Breakpoint => table.event_within(kind, BREAKPOINTS, BEFORE, BREAKPOINT_LIMITS),
        EventKind::Singlestep => table.event_within(kind, STEPS, BEHIND, STEP_LIMITS),
        EventKind::CreateVcpu | EventKind::Pause | EventKind::Unhook | EventKind::CommandError => {
            table.event(kind, "raised by the engine", kind.verdicts())
        }
        EventKind::Msr | EventKind::MsrRead => table.no_event(
            kind,
            "a gdbstub does not stop at MSRs: break where the kernel writes them",
        ),
        EventKind::Cr => table.no_event(
            kind,
            "a gdbstub does not stop at control registers; CR3 comes with every event",
        ),
        EventKind::Page => table.no_event(
            kind,
            "a gdbstub traps no pages: watch up to 8 bytes with a hardware point",
        ),
        EventKind::Trap => table.no_event(
            kind,
            "a gdbstub raises no exceptions, so there are none to tell of",
        ),
        EventKind::Reset | EventKind::Shutdown => table.no_event(
            kind,
            "QEMU tells of it when it has happened; the end of the VM is reported",
        ),
        EventKind::Xsetbv
        | EventKind::Hypercall
        | EventKind::Descriptor
        | EventKind::Cpuid
        | EventKind::Pio
        | EventKind::Mmio => table.no_event(
            kind,
            "a gdbstub does not stop there: break at the instruction",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_listed_with_a_mechanism_or_a_reason() {
        let table = capabilities(None);
        for &kind in EventKind::ALL {
            let (name, row) = (kind.name(), table.get(kind.name()).unwrap());
            assert_eq!(
                row.mechanism.is_empty(),
                row.support == Support::No,
                "{name}"
            );
            assert_eq!(row.reason.is_empty(), row.support == Support::Yes, "{name}");
            assert!(kind.verdicts().contains(row.verdicts), "{name}");
        }
    }
}
