//! Only what is wanted is reported, exactly.

use oriel_protocol::{Access, EventKind, Verdict, x86::msr};

use super::{Run, cases::cases, everything, raised, wanting};
use crate::{
    ArmError, Ranges, Wants,
    machine::End,
    mock::{Scenario, Step},
};

#[test]
fn a_control_register_is_reported_only_if_it_changes() {
    let cr4 = 0x4_06a0;
    let scenario = Scenario::new("cr")
        .step(Step::write_cr(4, cr4))
        .step(Step::write_cr(4, cr4 | 1 << 20))
        .step(Step::write_cr(3, 0x2000));
    let wants = Wants {
        crs: Ranges::from_iter([4..=4]),
        ..wanting(&[EventKind::Cr])
    };
    assert_eq!(Run::of(&scenario, &wants).kinds(), [EventKind::Cr]);
}

#[test]
fn an_msr_write_is_reported_whether_it_changes_or_not_if_its_number_is_wanted() {
    let scenario = Scenario::new("msr")
        .step(Step::write_msr(msr::LSTAR, 0).times(2))
        .step(Step::write_msr(msr::STAR, 1))
        .step(Step::read_msr(msr::LSTAR));
    let wants = Wants {
        msr_writes: Ranges::from_iter([0xc000_0082..=0xc000_0082]),
        msr_reads: Ranges::NONE,
        ..wanting(&[EventKind::Msr, EventKind::MsrRead])
    };
    assert_eq!(Run::of(&scenario, &wants).kinds(), [EventKind::Msr; 2]);
}

#[test]
fn ports_and_device_memory_are_wanted_by_direction() {
    for kind in [EventKind::Pio, EventKind::Mmio] {
        let reads_only = Wants {
            pio_writes: Ranges::NONE,
            mmio_writes: Ranges::NONE,
            ..wanting(&[kind])
        };
        let seen = cases(kind)
            .into_iter()
            .map(|case| Run::text(&case.text(), &reads_only).kinds().len());
        assert_eq!(seen.collect::<Vec<_>>(), [0, 1], "a write, a read");
    }
}

#[test]
fn an_access_is_reported_only_if_the_page_does_not_allow_it() {
    for (case, access) in cases(EventKind::Page)
        .iter()
        .zip(["write", "read", "execute"])
    {
        for (bit, name) in Access::NAMES {
            let mut wants = wanting(&[EventKind::Page]);
            wants.pages.insert(4, *bit);
            let seen = Run::text(&case.text(), &wants).kinds().len();
            assert_eq!(
                seen == 0,
                *name == access,
                "{access} where only {name} is allowed"
            );
        }
    }
}

#[test]
fn a_vcpu_is_stepped_through_every_instruction_once_it_is_wanted() {
    let wants = Wants {
        singlestep: vec![0],
        ..wanting(&[EventKind::Singlestep, EventKind::Msr])
    };
    let mut run = Run::of(
        &Scenario::new("steps")
            .step(Step::plain().times(2))
            .step(Step::serial("not an instruction"))
            .step(Step::write_msr(msr::LSTAR, 0)),
        &wants,
    );
    let kinds = [
        EventKind::Singlestep,
        EventKind::Singlestep,
        EventKind::Msr,
        EventKind::Singlestep,
    ];
    assert_eq!(run.kinds(), kinds);
}

#[test]
fn a_step_that_failed_says_so() {
    let text = "[[step]]\nevent = 'singlestep'\nfailed = true\n";
    let event = Run::text(text, &everything()).event(Verdict::Continue);
    let failed = oriel_protocol::events::Singlestep { failed: true };
    assert_eq!((event.data, event.retired), (failed.into(), true));
}

#[test]
fn what_is_armed_inside_an_event_holds_from_there_on() {
    let mut run = Run::of(
        &Scenario::new("late")
            .step(Step::write_msr(msr::LSTAR, 0))
            .step(Step::plain()),
        &wanting(&[EventKind::Msr]),
    );
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Msr);
    let stepped = Wants {
        singlestep: vec![0],
        ..wanting(&[EventKind::Singlestep])
    };
    run.machine.arm(&stepped).unwrap();
    assert_eq!(
        run.kinds(),
        [EventKind::Singlestep; 2],
        "after the write, and after the next"
    );
}

#[test]
fn what_does_not_exist_cannot_be_armed_and_what_was_armed_still_is() {
    let mut run = Run::of(
        &Scenario::new("armed").step(Step::write_msr(msr::LSTAR, 0)),
        &wanting(&[EventKind::Msr]),
    );
    for (wants, what) in [
        (
            Wants {
                breakpoints: [16 << 20].into(),
                ..everything()
            },
            "a breakpoint at 0x1000000",
        ),
        (
            Wants {
                singlestep: vec![1],
                ..everything()
            },
            "single-step of vCPU 1",
        ),
    ] {
        match run.machine.arm(&wants) {
            Err(ArmError::Unsupported { what: named, .. }) => assert_eq!(named, what),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(run.kinds(), [EventKind::Msr]);
}

#[test]
fn the_capabilities_promise_what_the_table_has() {
    let run = Run::of(&Scenario::new("able"), &Wants::default());
    for kind in raised() {
        assert!(run.machine.capabilities().reports(kind), "{}", kind.name());
        assert_eq!(run.machine.capabilities().verdicts(kind), kind.verdicts());
    }
    assert!(!run.machine.capabilities().reports(EventKind::CommandError));
}

#[test]
fn string_input_and_output_has_no_one_value_to_replace() {
    let text = "[[step]]\nevent = 'pio'\nport = 1\nwrite = true\ncount = 2\nvalue = 1\n";
    let mut run = Run::text(text, &everything());
    let event = run.event(Verdict::Continue);
    assert!(!event.allowed.contains(oriel_protocol::VerdictSet::REPLACE));
    let replaced = Verdict::Replace(oriel_protocol::Value::Word(2));
    assert!(matches!(run.end(replaced), End::Failed(_)));
}
