//! Each kind of event, with each verdict that it can take: the table of the module's docs.

use oriel_protocol::{Event, EventKind, Verdict, VerdictSet, x86::Exception};

use super::{
    Run,
    cases::{Case, FINISHED, cases},
    everything, raised,
};
use crate::{
    Wants,
    machine::{End, Exit},
};

const UD: Exception = Exception {
    vector: 6,
    error_code: None,
    address: 0,
};

/// Everything is armed, but only this kind is listened to.
fn only(kind: EventKind) -> Wants {
    Wants {
        events: [kind].into_iter().collect(),
        breakpoints: [0x1000].into(),
        ..everything()
    }
}

/// Runs up to the event of the case.
fn at_event(kind: EventKind, case: &Case) -> (Run, Event) {
    let mut run = Run::text(&case.text(), &only(kind));
    let event = run.event(Verdict::Continue);
    assert_eq!(
        (event.kind(), event.ip),
        (kind, case.rip.0),
        "{}",
        case.keys
    );
    (run, event)
}

/// Answers the event, and looks what has become of the guest.
fn obeyed(kind: EventKind, case: &Case, verdict: &Verdict) {
    let (mut run, event) = at_event(kind, case);
    let known = run.faults().len();
    let exit = run.enter(verdict.clone());
    let shown = (case.read)(&mut run);
    let faults = run.faults().split_off(known);
    let rip = run.rip();
    let (at, behind) = case.rip;
    let happened = (Exit::Ended(case.end.clone()), case.new, vec![], behind);
    let ended = Exit::Ended(FINISHED);
    let expected = match verdict {
        Verdict::Continue | Verdict::Step => happened,
        Verdict::Retry => (Exit::Event(event), case.old, vec![], at),
        Verdict::Crash => (Exit::Ended(End::Stopped), case.old, vec![], at),
        Verdict::Replace(_) => (ended, case.other.1, vec![], behind),
        Verdict::Deny => (ended, case.old, vec![(13, at)], behind),
        Verdict::Skip => (ended, case.old, vec![], behind),
        Verdict::Inject(_) => (ended, case.old, vec![(6, at)], behind),
        Verdict::Emulate(_) => (ended, 0xaabb, vec![], behind),
    };
    assert_eq!(
        (exit, shown, faults, rip),
        expected,
        "{verdict:?} to {}",
        case.keys
    );
}

/// A verdict of each kind.
fn verdicts(case: &Case) -> Vec<Verdict> {
    vec![
        Verdict::Continue,
        Verdict::Retry,
        Verdict::Crash,
        Verdict::Replace(case.other.0),
        Verdict::Deny,
        Verdict::Skip,
        Verdict::Inject(UD),
        Verdict::Emulate(Box::new([0xbb, 0xaa, 0, 0, 0, 0, 0, 0])),
        Verdict::Step,
    ]
}

#[test]
fn every_kind_obeys_every_verdict_that_it_can_take() {
    for kind in raised() {
        let cases = cases(kind);
        let mut taken = VerdictSet::NONE;
        for case in &cases {
            let allowed = at_event(kind, case).1.allowed;
            taken = taken | allowed;
            let answers = verdicts(case).into_iter();
            answers
                .filter(|verdict| allowed.contains(verdict.kind().set()))
                .for_each(|verdict| obeyed(kind, case, &verdict));
        }
        assert_eq!(
            taken,
            kind.verdicts(),
            "a case for each verdict of {}",
            kind.name()
        );
    }
}

#[test]
fn a_verdict_that_the_event_cannot_take_ends_the_vm() {
    for kind in raised() {
        for case in cases(kind) {
            let allowed = at_event(kind, &case).1.allowed;
            let answers = verdicts(&case).into_iter();
            for verdict in answers.filter(|verdict| !allowed.contains(verdict.kind().set())) {
                let (mut run, _) = at_event(kind, &case);
                let end = run.end(verdict);
                assert!(matches!(end, End::Failed(_)), "{end} after {}", case.keys);
                assert_eq!((case.read)(&mut run), case.old, "nothing happened");
            }
        }
    }
}

#[test]
fn what_nobody_wants_simply_happens() {
    for kind in raised() {
        for case in cases(kind) {
            let mut run = Run::text(&case.text(), &Wants::default());
            assert_eq!(run.end(Verdict::Continue), case.end, "{}", case.keys);
            assert_eq!((case.read)(&mut run), case.new, "{}", case.keys);
            assert_eq!(run.rip(), case.rip.1, "{}", case.keys);
        }
    }
}

#[test]
fn a_step_that_is_retried_happens_once_nobody_wants_it_any_more() {
    for kind in raised().filter(|kind| kind.verdicts().contains(VerdictSet::RETRY)) {
        for case in cases(kind) {
            let (mut run, event) = at_event(kind, &case);
            for _ in 0..3 {
                assert_eq!(run.event(Verdict::Retry), event);
            }
            run.machine.arm(&Wants::default()).unwrap();
            assert_eq!(run.end(Verdict::Retry), case.end);
            assert_eq!((case.read)(&mut run), case.new, "{}", case.keys);
        }
    }
}

#[test]
fn a_value_that_a_register_does_not_take_faults_even_if_a_judge_chose_it() {
    let lstar = &cases(EventKind::Msr)[0];
    let (mut run, event) = at_event(EventKind::Msr, lstar);
    let bad = oriel_protocol::Value::Word(1 << 47);
    assert_eq!(run.end(Verdict::Replace(bad)), FINISHED);
    assert_eq!(run.faults(), [(13, event.ip)]);
    assert_eq!((lstar.read)(&mut run), lstar.old);
}

#[test]
fn a_value_of_the_wrong_sort_ends_the_vm() {
    let (mut run, _) = at_event(EventKind::Cpuid, &cases(EventKind::Cpuid)[0]);
    let word = oriel_protocol::Value::Word(1);
    assert!(matches!(run.end(Verdict::Replace(word)), End::Failed(_)));
}

#[test]
fn a_rip_that_a_judge_sets_stands() {
    let case = &cases(EventKind::Msr)[0];
    for (verdict, shown) in [
        (Verdict::Continue, case.new),
        (Verdict::Skip, case.old),
        (Verdict::Retry, case.old),
        (Verdict::Deny, case.old),
    ] {
        let (mut run, _) = at_event(EventKind::Msr, case);
        let mut general = run.vcpu.general().unwrap();
        general.rip = 0x7000;
        run.vcpu.set_general(&general).unwrap();
        assert_eq!(run.end(verdict.clone()), FINISHED, "{verdict:?}");
        assert_eq!(
            ((case.read)(&mut run), run.rip()),
            (shown, 0x7000),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_retried_instruction_takes_its_operands_from_the_registers() {
    let (mut run, _) = at_event(EventKind::Msr, &cases(EventKind::Msr)[0]);
    let mut general = run.vcpu.general().unwrap();
    (general.rdx, general.rax) = (0, 0x77);
    run.vcpu.set_general(&general).unwrap();
    let again = run.event(Verdict::Retry);
    assert_eq!(
        again.data.proposed(),
        Some(oriel_protocol::Value::Word(0x77))
    );
}
