//! Policies that misbehave: contained, with the guest unharmed and the other judges going on.

use std::{sync::Arc, time::Duration};

use oriel_machine::{
    End,
    mock::{Scenario, Step},
};
use oriel_policy::{Setting, Store};
use oriel_protocol::{EventKind, Right, Verdict, x86::msr};
use oriel_tests::{Load, Ran, host, load, native, play, zoo};

fn writes(count: u64) -> Scenario {
    Scenario::new("writes")
        .step(Step::write_msr(msr::STAR, 7).times(count))
        .step(Step::finish(0))
}

/// Runs a policy beside one that only counts; answers what became of it.
fn beside_a_good_one(bad: &Load, events: u64) -> Ran {
    let (host, store) = (host(), Arc::new(Store::default()));
    let good = zoo("count").named("good").store(&store);
    let ran = play(
        &writes(events),
        vec![bad.candidate(&host), good.candidate(&host)],
    );
    assert_eq!(ran.outcome.end, End::Finished(0), "the guest went on");
    let counted = store.apply(oriel_protocol::commands::service::StoreGet {
        key: "count".to_owned(),
    });
    assert_eq!(
        counted,
        Ok(Some(events.to_le_bytes().to_vec())),
        "the other policy saw every event"
    );
    ran
}

#[test]
fn a_trap_is_answered_by_the_failure_verdict_and_the_next_event_by_a_fresh_instance() {
    let bad = zoo("trap").set("when-new", Setting::Number(1));
    let scenario = Scenario::new("trap")
        .step(Step::write_msr(msr::STAR, 1))
        .step(Step::write_msr(msr::STAR, 2))
        .step(Step::finish(0));
    let host = host();
    let ran = play(&scenario, vec![bad.candidate(&host)]);
    assert_eq!(
        ran.verdicts(),
        [
            (EventKind::Msr, Verdict::Deny),
            (EventKind::Msr, Verdict::Continue)
        ]
    );
    let failures = ran.failures();
    assert_eq!(failures.len(), 1);
    assert!(
        failures[0].failure.contains("harm.rs"),
        "it names file and line: {}",
        failures[0].failure
    );
}

#[test]
fn three_strikes_are_quarantine_and_the_failure_verdict_goes_on_answering() {
    let ran = beside_a_good_one(&zoo("trap"), 10);
    assert_eq!(ran.failures().len(), 3);
    assert!(ran.failures()[2].quarantined);
    assert_eq!(ran.verdicts(), vec![(EventKind::Msr, Verdict::Deny); 10]);
}

#[test]
fn an_endless_loop_is_stopped() {
    let mut bad = zoo("loop");
    bad.limits.event = Duration::from_millis(2);
    let ran = beside_a_good_one(&bad, 4);
    assert_eq!(ran.failures().len(), 3, "{:?}", ran.failures());
    assert_eq!(ran.verdicts(), vec![(EventKind::Msr, Verdict::Deny); 4]);
}

#[test]
fn bombs_and_floods_stay_within_their_bounds() {
    for act in [
        "memory-bomb",
        "recurse",
        "log-flood",
        "alert-flood",
        "store-flood",
    ] {
        let ran = beside_a_good_one(&zoo(act), 2);
        assert_eq!(ran.verdicts().len(), 2, "{act}");
        assert!(
            ran.alerts().len() <= 64,
            "{act}: {} alerts",
            ran.alerts().len()
        );
    }
}

#[test]
fn a_trap_or_a_loop_in_init_refuses_the_policy_by_name() {
    let host = host();
    for (act, said) in [("trap", "panic"), ("loop", "CPU time")] {
        let mut bad = zoo(act).text("at", "init");
        bad.limits.init = Duration::from_millis(5);
        let error = bad.prepare(&host).expect_err("it must be refused");
        let text = chain(&error);
        assert!(
            text.contains("oriel-zoo") || text.contains(said),
            "{act}: {text}"
        );
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[test]
fn a_right_that_nobody_granted_is_named_with_the_next_step() {
    let host = host();
    let error = load("oriel-zoo")
        .prepare(&host)
        .expect_err("it must be refused");
    let text = chain(&error);
    assert!(
        text.contains("memory-read") && text.contains("--grant"),
        "{text}"
    );
    let none = load("msr-guard")
        .no_rights()
        .right(Right::Log)
        .prepare(&host)
        .expect_err("refused");
    assert!(chain(&none).contains("store"), "{}", chain(&none));
}

#[test]
fn a_verdict_that_the_event_cannot_take_is_a_failure() {
    let host = host();
    let scenario = Scenario::new("out")
        .step(Step::new(oriel_machine::mock::Instruction::Reset(
            Default::default(),
        )))
        .step(Step::finish(0));
    let ran = play(
        &scenario,
        vec![
            zoo("continue").candidate(&host),
            native("n", &[EventKind::Reset], |_, _| Verdict::Continue),
        ],
    );
    assert_eq!(ran.outcome.end, End::Finished(0));
}
