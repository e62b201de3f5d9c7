use oriel_protocol::Capability;

use super::*;

const LACKING: Habits = Habits {
    output_retires: true,
    steps_user: false,
    ..Habits::VMX_AND_SVM
};

/// A KVM that emulates kernel code, as far as traps at pages go.
const EMULATING: Habits = Habits {
    stores_retire: true,
    ..LACKING
};

fn row(name: &str, habits: Habits) -> Capability {
    capabilities(habits, Served::Nothing)
        .get(name)
        .unwrap()
        .clone()
}

#[track_caller]
fn assert_said(row: &Capability, words: &[&str]) {
    for word in words {
        assert!(
            row.reason.contains(word),
            "{word:?} is not in: {}",
            row.reason
        );
    }
}

#[test]
fn every_event_is_listed_with_a_mechanism_or_a_reason() {
    let served = [Served::Nothing, Served::Chips, Served::Unknown];
    let hosts = [Habits::VMX_AND_SVM, LACKING, EMULATING];
    for (habits, served) in hosts
        .into_iter()
        .flat_map(|one| served.map(|two| (one, two)))
    {
        let table = capabilities(habits, served);
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
    let step = |habits| row("singlestep", habits);
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
fn a_host_that_lacks_two_things_for_steps_says_both() {
    let open = Habits {
        holds_interrupts: false,
        ..LACKING
    };
    let step = row("singlestep", open);
    assert_said(
        &step,
        &["64-bit user code", "interrupts are taken meanwhile"],
    );
    assert!(!step.mechanism.contains("BLOCKIRQ"));
}

#[test]
fn msrs_that_are_not_filtered_are_named_and_ways_round_a_filter_too() {
    let (write, read) = (row("msr", LACKING), row("msr-read", LACKING));
    assert_eq!(
        (write.support, read.support),
        (Support::Partly, Support::Partly)
    );
    assert_said(
        &write,
        &[
            "TSC",
            "APIC_BASE",
            "x2APIC",
            "performance-counter",
            "WRGSBASE",
            "SWAPGS",
        ],
    );
    assert_said(&read, &["with `msr`", "clocks and counters", "RDTSCP"]);
}

#[test]
fn what_kvm_serves_itself_is_named_where_it_may() {
    let row = |name: &str, served| {
        let table = capabilities(Habits::VMX_AND_SVM, served);
        table.get(name).unwrap().clone()
    };
    for name in ["pio", "mmio"] {
        assert_eq!(row(name, Served::Nothing).support, Support::Yes);
        assert_said(&row(name, Served::Unknown), &["ioeventfds"]);
    }
    assert_said(&row("pio", Served::Chips), &["0x20", "0x4d1", "0x61"]);
    assert_said(&row("mmio", Served::Chips), &["0xfec00000", "0xfee00000"]);
}

#[test]
fn limits_of_page_traps_are_those_of_the_host() {
    let page = row("page", Habits::VMX_AND_SVM);
    assert_eq!(page.support, Support::Partly);
    assert_said(
        &page,
        &["plain MOVs only", "page tables", "vm.max_map_count"],
    );
    assert!(!page.reason.contains("next exit") && !page.reason.contains("emulates"));
    for not_used in ["userfaultfd", "read-only slot"] {
        assert!(page.mechanism.contains(not_used), "{}", page.mechanism);
    }
    assert_said(
        &row("page", LACKING),
        &["plain MOVs only", "page tables", "next exit"],
    );
    assert_said(
        &row("page", EMULATING),
        &[
            "emulates",
            "plain MOVs only",
            "cannot be trapped",
            "next exit",
        ],
    );
}

#[test]
fn what_fires_of_the_debug_registers_is_said() {
    let row = |habits| row("breakpoint", habits);
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
    let said = [
        "INT3s of 64-bit user code",
        "hardware breakpoints do not fire in 64-bit user code",
        "watchpoints do not fire",
    ];
    assert_said(&some, &said);
    let none = row(Habits {
        code_points: false,
        ..emulating
    });
    assert!(!none.mechanism.contains("debug registers"));
}

#[test]
fn without_int3s_the_debug_registers_are_what_is_left() {
    let unable = Habits {
        breaks: false,
        breaks_user: false,
        ..Habits::VMX_AND_SVM
    };
    let left = row("breakpoint", unable);
    assert_eq!(left.support, Support::Partly);
    assert!(left.mechanism.starts_with("four debug registers"));
    assert_eq!(left.reason, "this KVM does not bring out an INT3");
    let neither = Habits {
        code_points: false,
        data_points: false,
        ..unable
    };
    assert_eq!(row("breakpoint", neither).support, Support::No);
    let stepless = Habits {
        steps: false,
        ..Habits::VMX_AND_SVM
    };
    let watches = row("breakpoint", stepless);
    assert_said(
        &watches,
        &[
            "cannot step over an INT3",
            "cannot step over a hardware breakpoint",
        ],
    );
}

#[test]
fn facilities_that_commands_ask_for_are_listed() {
    let table = capabilities(Habits::VMX_AND_SVM, Served::Nothing);
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
