//! Several judges on one VM: order, the strictest verdict, staged registers, the gate.

use oriel_engine::{Record, record};
use oriel_machine::{
    End,
    mock::{self, Scenario, Step},
};
use oriel_protocol::{
    Decision, EventKind, Grant, Refusal, Value, Verdict,
    commands::{
        vcpu::{GetRegister, SetRegister},
        vm::{RANGES_MAX, ReadPhysical, ReadScattered, WritePhysical},
    },
    events::EventClass,
    x86::{Exception, Register, msr},
};
use oriel_tests::{Ran, native, play};

const KIND: &[EventKind] = &[EventKind::Msr];

fn one_write() -> Scenario {
    Scenario::new("one-write")
        .step(Step::write_msr(msr::STAR, 7))
        .step(Step::finish(0))
}

#[test]
fn every_judge_is_asked_and_the_strictest_verdict_stands() {
    let judges = vec![
        native("first", KIND, |_, _| Verdict::Replace(Value::Word(8))),
        native("second", KIND, |case, _| {
            assert_eq!(
                (case.decided, case.proposed),
                (Decision::Replace, Some(Value::Word(8)))
            );
            Verdict::Deny
        }),
        native("third", KIND, |case, _| {
            assert_eq!(case.decided, Decision::Deny);
            Verdict::Continue
        }),
    ];
    let ran = play(&one_write(), judges);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.verdicts(), [(EventKind::Msr, Verdict::Deny)]);
    let asked = ran.records.iter().find_map(|record| {
        if let Record::Event(judged) = record {
            Some(judged.judges.len())
        } else {
            None
        }
    });
    assert_eq!(asked, Some(3));
}

#[test]
fn crash_ends_the_round_and_the_vm() {
    let judges = vec![
        native("first", KIND, |_, _| Verdict::Crash),
        native("second", KIND, |_, _| {
            panic!("nobody is asked after a crash")
        }),
    ];
    let ran = play(&one_write(), judges);
    assert_eq!(ran.outcome.end, End::Stopped);
    let [alert] = ran.alerts()[..] else {
        panic!("{:?}", ran.records);
    };
    assert!(
        alert.by_engine && alert.judge.as_deref() == Some("first"),
        "{alert:?}"
    );
    assert!(
        alert
            .message
            .starts_with("stopped the VM at an event `msr` of vCPU 0, at 0x"),
        "{alert:?}"
    );
}

#[test]
fn equally_strict_verdicts_conflict_and_the_first_stands() {
    let judges = vec![
        native("first", KIND, |_, _| Verdict::Replace(Value::Word(1))),
        native("second", KIND, |_, _| Verdict::Replace(Value::Word(2))),
    ];
    let ran = play(&one_write(), judges);
    assert_eq!(
        ran.verdicts(),
        [(EventKind::Msr, Verdict::Replace(Value::Word(1)))]
    );
    let conflicts = ran.records.iter().find_map(|record| {
        if let Record::Event(judged) = record {
            Some(judged.conflicts.clone())
        } else {
            None
        }
    });
    let dispute = record::Dispute {
        standing: "first".into(),
        lost: "second".into(),
    };
    assert_eq!(conflicts, Some(vec![dispute]));
}

#[test]
fn one_silent_judge_changes_nothing_wherever_it_sits() {
    let loud = || {
        vec![
            native("first", KIND, |_, _| Verdict::Replace(Value::Word(8))),
            native("second", KIND, |_, _| Verdict::Deny),
            native("third", KIND, |_, _| Verdict::Inject(Exception::GP0)),
        ]
    };
    let conflicts = |ran: &Ran| {
        let told = ran.records.iter().filter_map(|record| {
            if let Record::Event(judged) = record {
                Some(judged.conflicts.clone())
            } else {
                None
            }
        });
        told.collect::<Vec<_>>()
    };
    let without = play(&one_write(), loud());
    assert_eq!(conflicts(&without)[0].len(), 1);
    for at in 0..=3 {
        let mut judges = loud();
        judges.insert(at, native("silent", KIND, |_, _| Verdict::Continue));
        let with = play(&one_write(), judges);
        assert_eq!(with.verdicts(), without.verdicts(), "at {at}");
        assert_eq!(conflicts(&with), conflicts(&without), "at {at}");
        assert_eq!(with.outcome.end, without.outcome.end);
    }
}

#[test]
fn register_writes_are_seen_by_later_judges_and_cannot_be_contradicted() {
    let set = |value| SetRegister {
        register: Register::Rbx,
        value,
    };
    let judges = vec![
        native("first", KIND, move |_, desk| {
            assert_eq!(desk.on(0, set(5)), Ok(()));
            Verdict::Continue
        }),
        native("second", KIND, move |_, desk| {
            assert_eq!(
                desk.on(
                    0,
                    GetRegister {
                        register: Register::Rbx
                    }
                ),
                Ok(5)
            );
            assert_eq!(desk.on(0, set(5)), Ok(()), "agreeing is no conflict");
            assert_eq!(desk.on(0, set(6)), Err(Refusal::Conflict));
            Verdict::Continue
        }),
    ];
    let report = Step::new(mock::Report::Register(Register::Rbx));
    let scenario = Scenario::new("staged")
        .step(Step::write_msr(msr::STAR, 7))
        .step(report)
        .step(Step::finish(0));
    let ran = play(&scenario, judges);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.reports, [5]);
    let conflict = ran.records.iter().find_map(|record| {
        if let Record::Refusal(refused) = record {
            Some((refused.refusal, &*refused.judge, refused.with.as_deref()))
        } else {
            None
        }
    });
    let both = (Refusal::Conflict, "second", Some("first"));
    assert_eq!(conflict, Some(both), "both are named");
}

#[test]
fn a_scattered_read_has_an_answer_for_each_range() {
    let judge = native("reader", KIND, |_, desk| {
        let bytes = vec![1, 2, 3, 4];
        assert_eq!(desk.vm(WritePhysical { gpa: 0x8000, bytes }), Ok(()));
        let ranges = vec![(0x8001, 2), (u64::MAX, 1), (0x8000, 0), (0x8003, 1)];
        let answers = vec![
            Ok(vec![2, 3]),
            Err(Refusal::NotFound),
            Err(Refusal::Invalid),
            Ok(vec![4]),
        ];
        assert_eq!(desk.vm(ReadScattered { ranges }), Ok(answers));
        for too_much in [vec![(0, 1); RANGES_MAX + 1], vec![(0, 40_000); 2]] {
            let ranges = too_much;
            assert_eq!(desk.vm(ReadScattered { ranges }), Err(Refusal::Invalid));
        }
        Verdict::Continue
    });
    let ran = play(&one_write(), vec![judge]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(ran.outcome.events, 1);
}

#[test]
fn the_gate_refuses_what_is_not_granted_and_says_so() {
    let mut judge = native("reader", KIND, |_, desk| {
        assert_eq!(
            desk.vm(ReadPhysical { gpa: 0, length: 8 })
                .map(|bytes| bytes.len()),
            Ok(8)
        );
        assert_eq!(
            desk.vm(WritePhysical {
                gpa: 0,
                bytes: vec![1]
            }),
            Err(Refusal::Denied)
        );
        Verdict::Continue
    });
    let read_only = oriel_protocol::Right::MemoryRead.commands();
    judge.grant = Grant {
        commands: read_only,
        ..Grant::all()
    };
    let ran = play(&one_write(), vec![judge]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    let refused = ran.records.iter().find_map(|record| {
        if let Record::Refusal(refused) = record {
            Some((refused.command.name(), refused.refusal))
        } else {
            None
        }
    });
    assert_eq!(refused, Some(("write-physical", Refusal::Denied)));
}

#[test]
fn an_event_that_is_not_granted_is_not_heard() {
    let mut judge = native("deaf", KIND, |_, _| panic!("it must not be asked"));
    judge.grant.events.remove(EventKind::Msr);
    let ran = play(&one_write(), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 0)
    );
}

#[test]
fn every_kind_of_event_reaches_a_judge() {
    let scenario = mock::builtin("every-kind").expect("it is built in");
    let ran = play(
        &scenario,
        vec![native("all", EventKind::ALL, |_, _| Verdict::Continue)],
    );
    let heard: std::collections::BTreeSet<_> =
        ran.verdicts().into_iter().map(|(kind, _)| kind).collect();
    let expected = EventKind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    // Pages and breakpoints are armed one by one, which this judge does not do.
    let expected = expected.filter(|kind| !matches!(kind, EventKind::Page | EventKind::Singlestep));
    let missing: Vec<_> = expected
        .filter(|kind| !heard.contains(kind))
        .map(EventKind::name)
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn two_judges_of_one_name_are_refused() {
    let judge = || native("guard", KIND, |_, _| Verdict::Continue);
    let parts = one_write().build(std::sync::Arc::new(oriel_machine::outlet::Kept::default()));
    let engine = oriel_engine::Engine::new(oriel_tests::host(), parts.expect("well formed"))
        .judge(judge())
        .judge(judge());
    let error = engine.start().expect_err("two of one name").to_string();
    assert!(
        error.contains("\"guard\"") && error.contains("--policy NAME=FILE"),
        "{error}"
    );
}
