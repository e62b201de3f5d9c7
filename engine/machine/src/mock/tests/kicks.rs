//! Kicks: seen wherever the vCPU is, and no step is lost or doubled by one.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};

use oriel_protocol::{
    EventKind, Verdict,
    x86::{Register, msr},
};
use proptest::prelude::*;

use super::{Run, wanting};
use crate::{
    Wants,
    machine::{End, Exit},
    mock::{Action, Report, Scenario, Step},
};

#[test]
fn a_kick_before_entering_is_seen_until_it_is_acknowledged() {
    let mut run = Run::of(&Scenario::new("k").step(Step::finish(0)), &Wants::default());
    run.vcpu.kicker().kick();
    run.vcpu.kicker().kick();
    assert_eq!(run.enter(Verdict::Continue), Exit::Kicked);
    assert_eq!(run.enter(Verdict::Continue), Exit::Kicked);
    run.vcpu.acknowledge_kick();
    assert_eq!(run.end(Verdict::Continue), End::Finished(0));
}

#[test]
fn a_verdict_is_carried_out_even_if_the_answer_is_a_kick() {
    let scenario = Scenario::new("k").step(Step::write_msr(msr::LSTAR, 0x77));
    let mut run = Run::of(&scenario, &wanting(&[EventKind::Msr]));
    run.event(Verdict::Continue);
    run.vcpu.kicker().kick();
    assert_eq!(run.enter(Verdict::Continue), Exit::Kicked);
    assert_eq!(run.vcpu.msr(msr::LSTAR), Ok(0x77));
}

#[test]
fn a_policy_that_always_retries_does_not_keep_a_kick_out() {
    let scenario = Scenario::new("k").step(Step::write_msr(msr::LSTAR, 0x77));
    let mut run = Run::of(&scenario, &wanting(&[EventKind::Msr]));
    run.event(Verdict::Continue);
    run.event(Verdict::Retry);
    run.vcpu.kicker().kick();
    assert_eq!(run.enter(Verdict::Retry), Exit::Kicked);
    run.vcpu.acknowledge_kick();
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Msr, "again");
}

/// A vCPU that will not come back by itself, kicked from another thread at whatever time.
fn kicked_out(scenario: &Scenario) -> Run {
    let mut run = Run::of(scenario, &Wants::default());
    let kicker = run.vcpu.kicker();
    let guest = thread::spawn(move || {
        assert_eq!(run.enter(Verdict::Continue), Exit::Kicked);
        run
    });
    kicker.kick();
    guest.join().unwrap()
}

#[test]
fn a_vcpu_that_waits_for_a_name_sees_a_kick_and_waits_on() {
    let scenario = Scenario::new("k")
        .vcpus(2)
        .step(Step::wait_for("go"))
        .step(Step::finish(0))
        .step(Step::signal("go").on(1));
    let mut run = kicked_out(&scenario);
    assert_eq!(
        run.enter(Verdict::Continue),
        Exit::Kicked,
        "until it is acknowledged"
    );
}

#[test]
fn a_vcpu_that_has_halted_sees_a_kick() {
    kicked_out(
        &Scenario::new("k")
            .vcpus(2)
            .step(Step::signal("never played").on(1)),
    );
}

#[test]
fn a_vcpu_that_never_leaves_the_guest_by_itself_sees_a_kick() {
    kicked_out(&Scenario::new("k").step(Step::plain()).looping());
}

/// Some steps, each some times.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = prop_oneof![
        Just(Step::write_msr(msr::LSTAR, 1)),
        Just(Step::read_msr(msr::PAT)),
        Just(Step::plain()),
        Just(Step::serial("x")),
    ];
    let step = (kinds, 1u64..4).prop_map(|(step, times)| step.times(times));
    proptest::collection::vec(step, 0..12)
}

/// Bytes of code that a step runs.
fn code(step: &Step) -> u64 {
    let Action::Event(instruction) = &step.action else {
        return 0;
    };
    u64::from(instruction.length()) * step.repeat
}

/// With a report of RIP after each step, so that one more or one less shows; and what they say.
fn counted(steps: &[Step]) -> (Scenario, Vec<(u32, u64)>) {
    let mut scenario = Scenario::new("counted");
    let (mut rip, mut reports) = (0x1000, Vec::new());
    for step in steps {
        rip += code(step);
        reports.push((0, rip));
        let report = Step::new(Report::Register(Register::Rip));
        scenario = scenario.step(step.clone()).step(report);
    }
    (scenario.step(Step::finish(0)), reports)
}

/// Drives to the end, with these kicks and verdicts and, when they are used up, none and
/// `continue`. Answers how many events were dealt with.
fn drive(run: &mut Run, kicks: Vec<bool>, verdicts: Vec<Verdict>) -> u64 {
    let (mut kicks, mut verdicts) = (kicks.into_iter(), verdicts.into_iter());
    let (mut verdict, mut dealt_with) = (Verdict::Continue, 0);
    loop {
        if kicks.next() == Some(true) {
            run.vcpu.kicker().kick();
        }
        match run.enter(verdict) {
            Exit::Kicked => {
                run.vcpu.acknowledge_kick();
                verdict = Verdict::Continue;
            }
            Exit::Event(_) => {
                verdict = verdicts.next().unwrap_or_default();
                dealt_with += u64::from(verdict != Verdict::Retry);
            }
            Exit::Ended(end) => {
                assert_eq!(end, End::Finished(0));
                return dealt_with;
            }
        }
    }
}

proptest! {
    #[test]
    fn no_step_is_lost_or_doubled_under_kicks(
        steps in steps(),
        kicks in proptest::collection::vec(any::<bool>(), 0..64),
        verdicts in proptest::collection::vec(
            prop_oneof![Just(Verdict::Retry), Just(Verdict::Skip), Just(Verdict::Continue)],
            0..64,
        ),
    ) {
        let (scenario, reports) = counted(&steps);
        let write = Step::write_msr(msr::LSTAR, 1);
        let writes = steps.iter().filter(|step| step.action == write.action);
        let writes: u64 = writes.map(|step| step.repeat).sum();
        let mut run = Run::of(&scenario, &wanting(&[EventKind::Msr]));
        prop_assert_eq!(drive(&mut run, kicks, verdicts), writes);
        prop_assert_eq!(run.kept.reports(), reports);
    }
}

#[test]
fn of_a_hundred_thousand_kicks_none_is_lost() {
    const KICKS: u32 = 100_000;
    let scenario = Scenario::new("k").step(Step::plain()).looping();
    let mut run = Run::of(&scenario, &Wants::default());
    let kicker = run.vcpu.kicker();
    let letters = AtomicU32::new(0);
    thread::scope(|scope| {
        let letters = &letters;
        let reader = scope.spawn(move || {
            let mut read = 0;
            loop {
                run.vcpu.acknowledge_kick();
                read += letters.swap(0, SeqCst);
                if read == KICKS {
                    return;
                }
                assert_eq!(run.enter(Verdict::Continue), Exit::Kicked);
            }
        });
        // A kick that is lost leaves the reader inside for ever, with a letter unread.
        for _ in 0..KICKS {
            letters.fetch_add(1, SeqCst);
            kicker.kick();
        }
        reader.join().unwrap();
    });
}
