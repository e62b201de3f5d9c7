//! What is missing of a mechanism, in words.

use oriel_protocol::EventKind;

use crate::kvm::habits::Habits;

/// Of writes to MSRs. The numbers are in [`crate::kvm::msr_rules`].
pub(super) const MSR_WRITES: [&str; 3] = [
    "not TSC, APIC_BASE, x2APIC, feature, speculation, performance-counter and machine-check MSRs, nor KVM's own clock and Hyper-V MSRs: a host's write, which carries out a guest's, means something else there",
    "nor others that this KVM knows and Oriel has no rules for; of a wide range all these are left out",
    "WRFSBASE, WRGSBASE, SWAPGS and loads of FS and GS change FS_BASE, GS_BASE and KERNEL_GS_BASE without an event",
];

/// Of reads of MSRs.
pub(super) const MSR_READS: [&str; 2] = [
    "no others than with `msr`: a read is answered with what KVM tells a host, who is shown what a guest's read faults on, and for whom clocks and counters have gone on",
    "RDFSBASE, RDGSBASE, SWAPGS, RDTSCP and RDPID read FS_BASE, GS_BASE, KERNEL_GS_BASE and TSC_AUX without an event",
];

/// Which devices of a VM KVM serves itself, without an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kvm) enum Served {
    /// None.
    Nothing,
    /// Those of [`crate::kvm::chips`].
    Chips,
    /// The VMM knows.
    Unknown,
}

impl Served {
    /// What is missing of accesses to devices therefore.
    pub(super) fn beside(self, kind: EventKind) -> Option<&'static str> {
        const OTHERS: &str = "what this VMM has KVM serve itself (interrupt controllers, a timer, ioeventfds) never comes out";
        let (ports, memory) = match self {
            Self::Nothing => return None,
            Self::Chips => (
                "KVM serves the interrupt controllers and the timer itself: ports 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40 to 0x43 and 0x61 never come out",
                "KVM serves the interrupt controllers itself: the IOAPIC at 0xfec00000 and the local APIC, at 0xfee00000 unless the guest moves it, never come out",
            ),
            Self::Unknown => (OTHERS, OTHERS),
        };
        match kind == EventKind::Pio {
            true => Some(ports),
            false => (kind == EventKind::Mmio).then_some(memory),
        }
    }
}

/// Of traps at pages (`docs/decisions/0007-page-traps.md`).
pub(super) fn pages(habits: Habits) -> Vec<&'static str> {
    let mut limits = vec![match habits.stores_retire {
        false => "the value of a store is told, and `replace` had, of plain MOVs only",
        true => {
            "this KVM emulates kernel code: its stores are reported behind their instruction, for continue, skip, replace and crash; of 64-bit user code the value of a store is told, and `replace` had, of plain MOVs only"
        }
    }];
    limits.push(match habits.stores_retire {
        false => {
            "what the processor itself reads and writes in page tables and descriptors goes through, and is counted and told as unjudged"
        }
        true => {
            "pages with the guest's page tables or descriptors, or the stack that an exception is pushed to, cannot be trapped (the guest shuts down, or waits for ever)"
        }
    });
    if !habits.steps_user {
        limits.push("this KVM does not stop 64-bit user code: it has a page open until its next exit once an access is let through");
    }
    limits.push("the host's vm.max_map_count bounds how many pages far apart can be trapped");
    limits
}
