//! What the probe says of steps that say what should come of them.

use oriel_protocol::{Decision, EventKind, Value, Verdict};

use super::{Run, everything};
use crate::{Wants, mock::Outcome};

const TEXT: &str = "
    [[step]]
    event = 'msr'
    msr = 'lstar'
    value = 1
    expect = { verdict = 'continue', value = 1 }

    [[step]]
    event = 'msr'
    msr = 'lstar'
    value = 2
    repeat = 3
    expect = { verdict = 'deny', value = 1 }

    [[step]]
    serial = 'nothing is expected of this'

    [[step]]
    report = 'msr'
    msr = 'lstar'
    expect = { value = 1 }

    [[step]]
    event = 'singlestep'
    expect = { verdict = 'continue' }

    [[step]]
    finish = 0";

fn of(step: usize, verdict: Option<Decision>, value: Option<u64>) -> Outcome {
    Outcome {
        vcpu: 0,
        step,
        verdict,
        value,
    }
}

#[test]
fn each_playing_of_a_step_with_an_expectation_has_an_outcome() {
    let wants = Wants {
        singlestep: Vec::new(),
        ..everything()
    };
    let mut run = Run::text(TEXT, &wants);
    run.event(Verdict::Continue);
    for verdict in [
        Verdict::Continue,
        Verdict::Deny,
        Verdict::Replace(Value::Word(1)),
    ] {
        run.event(verdict);
    }
    run.end(Verdict::Skip);
    let decided = |decision, value| of(1, Some(decision), Some(value));
    assert_eq!(
        run.probe.outcomes(),
        [
            of(0, Some(Decision::Continue), Some(1)),
            decided(Decision::Deny, 1),
            decided(Decision::Keep, 1),
            decided(Decision::Skip, 1),
            of(3, None, Some(1)),
            of(4, None, None),
        ]
    );
}

#[test]
fn what_ends_the_vm_has_an_outcome_too() {
    let mut run = Run::text(TEXT, &everything());
    let event = run.event(Verdict::Continue);
    assert_eq!(event.kind(), EventKind::Msr);
    run.end(Verdict::Crash);
    assert_eq!(run.probe.outcomes()[0].verdict, Some(Decision::Crash));
}

#[test]
fn a_single_step_is_judged_when_it_is_over() {
    let text = "
        [[step]]
        event = 'singlestep'
        expect = { verdict = 'inject' }

        [[step]]
        finish = 0";
    let mut run = Run::text(text, &everything());
    run.event(Verdict::Continue);
    run.enter(Verdict::Inject(oriel_protocol::x86::Exception::GP0));
    assert_eq!(run.probe.outcomes(), [of(0, Some(Decision::Inject), None)]);
}

#[test]
fn a_script_without_an_end_keeps_no_outcomes() {
    let mut run = Run::text(&format!("loop = true\n{TEXT}"), &everything());
    for _ in 0..20 {
        run.enter(Verdict::Continue);
    }
    assert_eq!(run.probe.outcomes(), []);
}
