use kvm_bindings::{
    KVM_INTERNAL_ERROR_DELIVERY_EV, KVM_INTERNAL_ERROR_EMULATION, KVM_MSR_EXIT_REASON_FILTER,
    KVM_MSR_EXIT_REASON_UNKNOWN,
};
use oriel_protocol::{VerdictSet, x86::msr};

use super::*;
use crate::kvm::exit::InternalError;

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

/// #DB or #BP, of which KVM says this.
const fn debug(exception: u32, dr6: u64) -> DebugExit {
    DebugExit {
        exception,
        pc: HERE.ip,
        dr6,
    }
}

/// `KVM_EXIT_INTERNAL_ERROR` with these first words of its data.
fn internal(suberror: u32, data: [u64; 3]) -> RawExit {
    let mut error = InternalError {
        suberror,
        words: 3,
        data: Default::default(),
    };
    error.data[..3].copy_from_slice(&data);
    RawExit::Internal(error)
}

/// An instruction that KVM cannot emulate; no bytes: one that it could not fetch.
fn not_emulated(code: &[u8]) -> RawExit {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(code.len()).unwrap();
    bytes[1..=code.len()].copy_from_slice(code);
    let [first, second] =
        [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
    let has_bytes = u64::from(!code.is_empty());
    internal(KVM_INTERNAL_ERROR_EMULATION, [has_bytes, first, second])
}

/// It is the same whoever listens: what a vCPU does there, memory and the traps decide.
#[track_caller]
fn assert_subject(exit: RawExit, expected: &Subject) {
    for wants in [Wants::default(), everything()] {
        for habits in [HARDWARE, EMULATING] {
            assert_eq!(&subject(&exit, &wants, habits), expected, "{exit:?}");
        }
    }
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

#[test]
fn an_int3_is_one_however_kvm_says_so() {
    // VMX and SVM: vector 3, with DR6 of no meaning.
    for dr6 in [0, 0xffff_0ff0, 0xffff_4ff1] {
        assert_subject(RawExit::Debug(debug(3, dr6)), &Subject::Int3);
    }
    // KVM's emulator: the bytes from the instruction pointer on.
    assert_subject(not_emulated(&[0xcc]), &Subject::Int3);
    assert_subject(not_emulated(&[0xcc, 0x90, 0xc3]), &Subject::Int3);
}

#[test]
fn what_cannot_be_run_is_blocked_until_it_is_known_why() {
    let (popcnt, prefixed) = ([0xf3, 0x0f, 0xb8, 0xc3], [0x66, 0xcc]);
    for exit in [
        // VMX and SVM: EFAULT, or `KVM_EXIT_MEMORY_FAULT`.
        RawExit::Fault,
        not_emulated(&popcnt),
        not_emulated(&prefixed),
        not_emulated(&[]),
    ] {
        assert_subject(exit, &Subject::Blocked);
    }
}

#[test]
fn bytes_that_kvm_does_not_vouch_for_are_no_int3() {
    let int3 = u64::from_le_bytes([1, 0xcc, 0, 0, 0, 0, 0, 0]);
    let without_flag = internal(KVM_INTERNAL_ERROR_EMULATION, [0, int3, 0]);
    assert_subject(without_flag, &Subject::Blocked);
    let delivery = internal(KVM_INTERNAL_ERROR_DELIVERY_EV, [1, int3, 0]);
    assert_subject(delivery, &Subject::NotOurs);
}

#[test]
fn a_step_and_a_point_are_debugged_with_what_dr6_says() {
    for dr6 in [
        // A step; the second point; a step onto the first; none: INT1.
        0xffff_4ff0,
        0xffff_0ff2,
        0xffff_4ff1,
        0xffff_0ff0,
    ] {
        let exit = debug(1, dr6);
        assert_subject(RawExit::Debug(exit), &Subject::Debugged(exit));
    }
}

#[test]
fn exits_that_nobody_understands_stay_with_whoever_runs_the_vcpu() {
    for exit in [
        RawExit::Debug(debug(6, 0)),
        RawExit::Halt,
        RawExit::Interrupted,
        RawExit::System(2),
        RawExit::FailEntry(0x8000_0021),
        RawExit::Other(99),
    ] {
        assert_subject(exit, &Subject::NotOurs);
    }
}
