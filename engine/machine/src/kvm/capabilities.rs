//! What the kvm machine can do, and why not where it cannot.

use std::borrow::Cow;

use oriel_protocol::{Capabilities, EventKind, Support, VerdictSet};

use super::{
    habits::Habits,
    pending::{BREAKPOINT_VERDICTS, END_VERDICTS, MSR_VERDICTS, STEP_VERDICTS, TRAP_VERDICTS},
};

const PORTS: &str =
    "KVM_EXIT_IO; an OUT is reported at its instruction, a string of them behind it";
/// The same where KVM emulates.
const PORTS_BEHIND: &str = "KVM_EXIT_IO; an OUT is reported behind its instruction";
const MEMORY: &str =
    "KVM_EXIT_MMIO, in fragments of up to 8 bytes; a store is reported behind its instruction";

/// How an event comes about.
pub(super) struct Mechanism {
    how: &'static str,
    verdicts: VerdictSet,
    /// What is missing; empty where nothing is.
    limits: Cow<'static, str>,
}

const fn by(how: &'static str, verdicts: VerdictSet) -> Mechanism {
    within(how, verdicts, "")
}

const fn within(how: &'static str, verdicts: VerdictSet, limits: &'static str) -> Mechanism {
    Mechanism {
        how,
        verdicts,
        limits: Cow::Borrowed(limits),
    }
}

/// How events of this kind come about on a host of these habits.
///
/// # Errors
/// Why they do not.
pub(super) fn mechanism(kind: EventKind, habits: Habits) -> Result<Mechanism, &'static str> {
    let device = VerdictSet::CONTINUE
        .union(VerdictSet::REPLACE)
        .union(VerdictSet::SKIP)
        .union(VerdictSet::CRASH);
    Ok(match kind {
        EventKind::Msr => by("KVM_EXIT_X86_WRMSR, by an MSR filter", MSR_VERDICTS),
        EventKind::MsrRead => by("KVM_EXIT_X86_RDMSR, by an MSR filter", MSR_VERDICTS),
        EventKind::Pio if habits.output_retires => by(PORTS_BEHIND, device),
        EventKind::Pio => by(PORTS, device),
        EventKind::Mmio => by(MEMORY, device),
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
        EventKind::Singlestep => return steps(habits),
        EventKind::Breakpoint => return breakpoints(habits),
        EventKind::Page => pages(habits),
    })
}

fn breakpoints(habits: Habits) -> Result<Mechanism, &'static str> {
    const INT3: &str = "INT3, over which reads show the original byte";
    const BOTH: &str = "INT3, over which reads show the original byte; four debug registers by KVM_SET_GUEST_DEBUG, which hide the guest's own while one is in use (#DBs by its DR7 then come only from code that KVM emulates)";
    if !habits.breaks {
        return Err("this KVM does not bring out an INT3");
    }
    if !habits.steps {
        return Err("this KVM cannot step over an INT3");
    }
    let points = habits.code_points || habits.data_points;
    Ok(Mechanism {
        how: if points { BOTH } else { INT3 },
        verdicts: BREAKPOINT_VERDICTS,
        limits: Cow::Owned(breakpoint_limits(habits).join("; ")),
    })
}

/// What of breakpoints is not to be had here.
fn breakpoint_limits(habits: Habits) -> Vec<&'static str> {
    let mut limits = Vec::new();
    if !habits.breaks_user || !habits.steps_user {
        limits.push("this KVM keeps INT3s of 64-bit user code and of real mode to the guest: its own handler runs, unseen");
    }
    match (habits.code_points, habits.code_points_user) {
        (true, true) => {}
        (true, false) => limits.push("its hardware breakpoints do not fire in 64-bit user code"),
        (false, _) => limits.push("its hardware breakpoints do not fire"),
    }
    match (habits.data_points, habits.data_points_user) {
        (true, true) => {}
        (true, false) => limits.push("its watchpoints do not fire in 64-bit user code"),
        (false, _) => limits.push("its watchpoints do not fire: trap the page instead"),
    }
    limits
}

const fn pages(habits: Habits) -> Mechanism {
    const HOW: &str =
        "mprotect of KVM's mapping, never userfaultfd; the instruction says what it touches";
    const ALL: VerdictSet = EventKind::Page.verdicts();
    match (habits.stores_retire, habits.steps_user) {
        (false, true) => within(
            HOW,
            ALL,
            "not what the processor itself reads and writes in page tables and descriptors, which is counted and told as unjudged",
        ),
        (true, _) => within(
            HOW,
            ALL,
            "this KVM emulates kernel code: its stores are reported behind their instruction, for continue, skip, replace and crash; pages with the guest's page tables or descriptors, or the stack that an exception is pushed to, cannot be trapped (the guest shuts down, or waits for ever); 64-bit user code has a page open until its next exit once an access is let through",
        ),
        (false, false) => within(
            HOW,
            ALL,
            "this KVM does not stop 64-bit user code: it has a page open until its next exit once an access is let through",
        ),
    }
}

const fn steps(habits: Habits) -> Result<Mechanism, &'static str> {
    const HOW: &str = "KVM_GUESTDBG_SINGLESTEP with BLOCKIRQ";
    const HOW_OPEN: &str = "KVM_GUESTDBG_SINGLESTEP";
    const NOT_USER: &str = "this KVM does not stop 64-bit user code";
    const INTERRUPTS: &str =
        "this kernel lacks KVM_GUESTDBG_BLOCKIRQ: interrupts are taken meanwhile";
    if !habits.steps {
        return Err("this KVM does not stop after a stepped instruction");
    }
    Ok(match (habits.holds_interrupts, habits.steps_user) {
        (true, true) => by(HOW, STEP_VERDICTS),
        (true, false) => within(HOW, STEP_VERDICTS, NOT_USER),
        (false, true) => within(HOW_OPEN, STEP_VERDICTS, INTERRUPTS),
        (false, false) => within(HOW_OPEN, STEP_VERDICTS, NOT_USER),
    })
}

/// The table for a host of these habits.
pub(super) fn capabilities(habits: Habits) -> Capabilities {
    let row = |table: Capabilities, kind| match mechanism(kind, habits) {
        Ok(known) if known.limits.is_empty() => table.event(kind, known.how, known.verdicts),
        Ok(known) => table.event_within(kind, known.how, known.verdicts, known.limits),
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

/// The same with what is to be said about interrupts.
pub(super) fn with_interrupts(table: Capabilities, interrupts: bool) -> Capabilities {
    if interrupts {
        return table.facility("interrupts", "KVM_CREATE_IRQCHIP and KVM_CREATE_PIT2");
    }
    table.limited(
        "interrupts",
        Support::No,
        "flat images run without an interrupt controller: a vCPU that halts stays halted",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LACKING: Habits = Habits {
        output_retires: true,
        steps_user: false,
        ..Habits::VMX_AND_SVM
    };

    #[test]
    fn every_event_is_listed_with_a_mechanism_or_a_reason() {
        for habits in [Habits::VMX_AND_SVM, LACKING] {
            let table = capabilities(habits);
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

    #[test]
    fn what_a_host_lacks_is_said() {
        let step = |habits| capabilities(habits).get("singlestep").unwrap().clone();
        assert_eq!(step(Habits::VMX_AND_SVM).support, Support::Yes);
        assert_eq!(step(LACKING).support, Support::Partly);
        assert!(step(LACKING).reason.contains("user code"));
        let none = Habits {
            steps: false,
            ..LACKING
        };
        assert_eq!(step(none).support, Support::No);
    }

    #[test]
    fn what_fires_of_the_debug_registers_is_said() {
        let row = |habits| capabilities(habits).get("breakpoint").unwrap().clone();
        let all = row(Habits::VMX_AND_SVM);
        assert_eq!((all.support, &*all.reason), (Support::Yes, ""));
        assert!(all.mechanism.contains("hide the guest's own"));
        let emulating = Habits {
            code_points_user: false,
            data_points: false,
            ..LACKING
        };
        let some = row(emulating);
        assert_eq!(some.support, Support::Partly);
        for said in [
            "INT3s of 64-bit user code",
            "hardware breakpoints do not fire in 64-bit user code",
            "watchpoints do not fire",
        ] {
            assert!(some.reason.contains(said), "{}", some.reason);
        }
        let none = row(Habits {
            code_points: false,
            ..emulating
        });
        assert!(!none.mechanism.contains("debug registers"));
    }

    #[test]
    fn facilities_that_commands_ask_for_are_listed() {
        let table = capabilities(Habits::VMX_AND_SVM);
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
