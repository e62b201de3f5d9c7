use kvm_bindings::{KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_UNKNOWN};
use oriel_protocol::{VerdictSet, x86::msr};

use super::*;

const HERE: At = At {
    ip: 0x10_0000,
    cr3: 0x2000,
    cpl: 0,
};
const EMULATING: Habits = Habits {
    output_retires: true,
    guarded_misc_enable: false,
    ..HARDWARE
};
const HARDWARE: Habits = Habits::VMX_AND_SVM;

fn wrmsr(reason: u32) -> RawExit {
    RawExit::Msr(MsrExit {
        msr: msr::LSTAR,
        written: Some(5),
        reason,
    })
}

fn out(port: u16, size: u8, count: u32) -> RawExit {
    RawExit::Port(PortExit {
        port,
        write: true,
        size,
        count,
    })
}

fn all_but(kind: EventKind) -> Wants {
    let mut wants = everything();
    wants.events.remove(kind);
    wants
}

fn everything() -> Wants {
    Wants {
        events: EventKind::ALL.iter().copied().collect(),
        msr_writes: Ranges::all(),
        msr_reads: Ranges::all(),
        pio_reads: Ranges::all(),
        pio_writes: Ranges::all(),
        mmio_reads: Ranges::all(),
        mmio_writes: Ranges::all(),
        ..Wants::default()
    }
}

#[test]
fn a_filtered_write_that_is_wanted_is_an_event_at_its_instruction() {
    let Subject::Wanted(mut pending) =
        subject(&wrmsr(KVM_MSR_EXIT_REASON_FILTER), &everything(), EMULATING)
    else {
        panic!("it is wanted");
    };
    if let Pending::MsrWrite { old, .. } = &mut pending {
        *old = Some(4);
    }
    let event = event(&pending, HERE);
    assert_eq!(
        event.data,
        Msr {
            msr: msr::LSTAR,
            old: 4,
            new: 5
        }
        .into()
    );
    assert_eq!((event.ip, event.cr3, event.cpl), (0x10_0000, 0x2000, 0));
    assert_eq!(event.allowed, EventKind::Msr.verdicts());
    assert!(!event.retired);
}

#[test]
fn a_filtered_write_that_nobody_wants_any_more_is_done_in_silence() {
    let filtered = wrmsr(KVM_MSR_EXIT_REASON_FILTER);
    let nobody = subject(&filtered, &Wants::default(), EMULATING);
    assert!(matches!(
        nobody,
        Subject::Silent(Pending::MsrWrite { new: 5, .. })
    ));
    let other_kind = subject(&filtered, &all_but(EventKind::Msr), EMULATING);
    assert!(matches!(other_kind, Subject::Silent(_)));
}

#[test]
fn an_msr_exit_for_another_reason_is_the_embedders() {
    let unknown = wrmsr(KVM_MSR_EXIT_REASON_UNKNOWN);
    assert_eq!(
        subject(&unknown, &everything(), EMULATING),
        Subject::NotOurs
    );
}

#[test]
fn output_is_behind_its_instruction_only_where_this_kvm_says_so() {
    for (habits, retired) in [(EMULATING, true), (HARDWARE, false)] {
        let Subject::Wanted(pending) = subject(&out(0x60, 1, 1), &everything(), habits) else {
            panic!("it is wanted");
        };
        assert_eq!(event(&pending, HERE).retired, retired);
    }
}

#[test]
fn a_string_is_one_event_with_its_count() {
    let Subject::Wanted(pending) = subject(&out(0x3f8, 2, 7), &everything(), HARDWARE) else {
        panic!("it is wanted");
    };
    let event = event(&pending, HERE);
    assert_eq!(
        event.data,
        Pio {
            port: 0x3f8,
            write: true,
            size: 2,
            count: 7,
            value: 0
        }
        .into()
    );
    assert!(!event.allowed.intersects(VerdictSet::REPLACE));
    assert!(event.retired, "strings are emulated everywhere");
}

#[test]
fn an_access_that_begins_below_a_watched_port_reaches_it() {
    let wants = Wants {
        events: [EventKind::Pio].into_iter().collect(),
        pio_writes: [0x61..=0x61].into_iter().collect(),
        ..Wants::default()
    };
    let is_wanted = |exit| matches!(subject(&exit, &wants, EMULATING), Subject::Wanted(_));
    assert!(is_wanted(out(0x60, 2, 1)));
    assert!(!is_wanted(out(0x60, 1, 1)));
    assert!(!is_wanted(out(0x62, 1, 1)));
}

#[test]
fn loads_and_stores_have_ranges_of_their_own() {
    let wants = Wants {
        events: [EventKind::Mmio].into_iter().collect(),
        mmio_writes: Ranges::all(),
        ..Wants::default()
    };
    let exit = |write| RawExit::Memory {
        gpa: u64::MAX - 3,
        write,
        size: 8,
    };
    assert_eq!(subject(&exit(false), &wants, EMULATING), Subject::NotOurs);
    let Subject::Wanted(pending) = subject(&exit(true), &wants, EMULATING) else {
        panic!("it is wanted");
    };
    assert!(event(&pending, HERE).retired);
}

#[test]
fn a_triple_fault_is_an_event_only_if_wanted() {
    let wanted = subject(&RawExit::Shutdown, &everything(), EMULATING);
    assert!(matches!(wanted, Subject::Wanted(Pending::Shutdown { .. })));
    let unwanted = subject(&RawExit::Shutdown, &all_but(EventKind::Shutdown), EMULATING);
    assert_eq!(unwanted, Subject::NotOurs);
}

#[test]
fn what_an_event_allows_is_within_what_its_kind_can_take() {
    let exits = [
        wrmsr(KVM_MSR_EXIT_REASON_FILTER),
        out(0x60, 1, 1),
        out(0x60, 1, 9),
        RawExit::Shutdown,
    ];
    for exit in exits {
        let Subject::Wanted(pending) = subject(&exit, &everything(), EMULATING) else {
            panic!("it is wanted");
        };
        let event = event(&pending, HERE);
        assert!(event.kind().verdicts().contains(event.allowed));
    }
    let reset = event(&Pending::Reset, HERE);
    assert!(EventKind::Reset.verdicts().contains(reset.allowed));
}
