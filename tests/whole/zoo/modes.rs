//! What answers when a policy fails: its mode, its report, and the operator.

use std::time::Duration;

use oriel_engine::{Record, Standing, record::Failed};
use oriel_machine::{End, mock::Scenario, mock::Step};
use oriel_policy::{FailureMode, OnFailure, Setting};
use oriel_protocol::{EventKind, Refusal, Verdict, commands::service::Severity, x86::msr};
use oriel_tests::{FOREVER, Load, Ran, Vm, host, native, play, zoo};

/// A policy that traps at MSR writes of 1, and answers in this mode then.
fn trapping(mode: FailureMode) -> Load {
    let mut load = zoo("trap").set("when-new", Setting::Number(1));
    load.on_failure = Some(OnFailure::always(FailureMode::Closed).with(EventKind::Msr, mode));
    load
}

fn writes(values: &[u64]) -> Scenario {
    let steps = values
        .iter()
        .map(|value| Step::write_msr(msr::STAR, *value));
    let scenario = Scenario::new("writes").with_steps(steps);
    scenario.step(Step::finish(0))
}

fn verdicts(ran: &Ran) -> Vec<Verdict> {
    let verdicts = ran.verdicts().into_iter();
    verdicts.map(|(_, verdict)| verdict).collect()
}

#[test]
fn a_policy_that_detaches_is_not_asked_again_and_the_others_are() {
    let witness = native("witness", &[EventKind::Msr], |case, _| {
        assert!(case.proposed.is_some());
        Verdict::Continue
    });
    let judges = vec![trapping(FailureMode::Detach).candidate(&host()), witness];
    let ran = play(&writes(&[2, 1, 1, 1, 1]), judges);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!(verdicts(&ran), vec![Verdict::Continue; 5]);
    assert_eq!(ran.failures().len(), 1, "it was not asked after that");
    let asked: Vec<_> = ran.records.iter().filter_map(judges_of).collect();
    assert_eq!(asked, [2, 2, 1, 1, 1], "its filters are gone");
    let alerts = ran.alerts();
    assert!(alerts[0].by_engine && alerts[0].message.starts_with("detached"));
}

fn judges_of(record: &Record) -> Option<usize> {
    if let Record::Event(judged) = record {
        return Some(judged.judges.len());
    }
    None
}

#[test]
fn alone_it_takes_its_traps_with_it() {
    let ran = play(
        &writes(&[1, 2, 3]),
        vec![trapping(FailureMode::Detach).candidate(&host())],
    );
    assert_eq!(verdicts(&ran), [Verdict::Continue]);
    assert_eq!(ran.outcome.events, 1, "nobody listens any more");
}

#[test]
fn a_policy_that_detaches_as_it_observes_sees_nothing_more() {
    let mut observer = zoo("trap").text("at", "observe");
    observer.on_failure = Some(OnFailure::always(FailureMode::Detach));
    let ran = play(&writes(&[1, 2, 3]), vec![observer.candidate(&host())]);
    assert_eq!(ran.outcome.end, End::Finished(0));
    assert_eq!((ran.outcome.events, ran.failures().len()), (1, 1));
}

#[test]
fn a_pause_that_is_not_allowed_is_closed() {
    let policy = trapping(FailureMode::Pause);
    let ready = policy.prepare(&host()).expect("it is a good policy");
    assert!(ready.vain_pauses().contains(EventKind::Msr));
    let ran = play(&writes(&[1]), vec![policy.candidate(&host())]);
    assert_eq!(verdicts(&ran), [Verdict::Deny]);
    assert!(ran.alerts().is_empty());
}

#[test]
fn a_pause_ends_in_a_no_when_nobody_comes() {
    let mut policy = trapping(FailureMode::Pause);
    policy.pause = Some(Duration::from_millis(1));
    let ran = play(&writes(&[1, 2]), vec![policy.candidate(&host())]);
    assert_eq!(verdicts(&ran), [Verdict::Deny, Verdict::Continue]);
    let severities: Vec<_> = ran.alerts().iter().map(|alert| alert.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::High]);
}

/// Waits until the engine has told of something.
fn until(vm: &Vm, told: impl Fn(&Record) -> bool) {
    let end = std::time::Instant::now() + FOREVER;
    while !vm.told().iter().any(&told) {
        assert!(std::time::Instant::now() < end, "it is told in time");
        std::thread::yield_now();
    }
}

fn waits(record: &Record) -> bool {
    matches!(record, Record::Alert(alert) if alert.message.contains("waits for the operator"))
}

#[test]
fn a_paused_vcpu_serves_commands_and_goes_on_when_the_operator_says_so() {
    let mut policy = trapping(FailureMode::Pause);
    policy.pause = Some(FOREVER);
    let reader = native("reader", &[], |_, _| Verdict::Continue);
    let vm = Vm::of(&writes(&[1, 2]), vec![policy.candidate(&host()), reader]);
    vm.go(1);
    until(&vm, waits);
    let rip = oriel_protocol::commands::vcpu::GetRegister {
        register: oriel_protocol::x86::Register::Rip,
    };
    let read = vm.handle().run(1, 0, rip, FOREVER);
    assert!(read.is_ok(), "{read:?}");
    assert_eq!(vm.handle().resume(0), Ok(()));
    let ran = vm.wait();
    assert_eq!(verdicts(&ran), vec![Verdict::Continue; 2]);
    assert_eq!(ran.failures()[0].verdict, Verdict::Continue);
}

#[test]
fn a_vm_that_ends_waits_for_no_operator() {
    let mut policy = trapping(FailureMode::Pause);
    policy.pause = Some(FOREVER);
    let vm = Vm::of(&writes(&[1]), vec![policy.candidate(&host())]);
    vm.go(1);
    until(&vm, waits);
    let ran = vm.stop();
    assert_eq!(ran.outcome.end, End::Cancelled);
    assert_eq!(verdicts(&ran), [Verdict::Deny]);
}

#[test]
fn an_instance_that_cannot_be_had_is_not_tried_for_at_every_event() {
    let mut crowded = zoo("continue");
    // The other vCPU goes without, and is not to blame.
    crowded.limits.instances = 1;
    let each = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu).times(300);
    let both = Scenario::new("both").vcpus(2).step(each(0)).step(each(1));
    let both = both
        .step(Step::signal("done").on(1))
        .step(Step::wait_for("done").on(0))
        .step(Step::finish(0).on(0));
    let ran = play(&both, vec![crowded.candidate(&host())]);
    assert_eq!(ran.outcome.events, 600);
    let denied = verdicts(&ran)
        .iter()
        .filter(|one| **one == Verdict::Deny)
        .count();
    let failures = ran.failures();
    assert!(denied >= 300 - failures.len(), "{denied} of them");
    // Each pause is longer than the one before: far fewer attempts than events.
    assert!((1..30).contains(&failures.len()), "{}", failures.len());
    assert!(failures[0].failure.contains("1 instances"), "{failures:?}");
    assert!(!failures.iter().any(|failed| failed.quarantined));
}

#[test]
fn failures_are_kept_and_an_operator_lets_a_policy_out_of_quarantine() {
    let bad = trapping(FailureMode::Closed).named("bad");
    let scenario = Scenario::new("traps")
        .step(Step::write_msr(msr::STAR, 1))
        .looping();
    let vm = Vm::of(&scenario, vec![bad.candidate(&host())]);
    vm.go(1);
    until(
        &vm,
        |record| matches!(record, Record::Event(judged) if judged.moment.seq == 4),
    );
    let handle = vm.handle();
    assert_eq!(handle.pause(0, FOREVER), Ok(()));
    assert_eq!(handle.failures("nobody").err(), Some(Refusal::NotFound));
    let reports = handle.failures("bad").expect("it is there");
    assert_eq!(reports.len(), 3, "the fourth event did not ask it");
    let report = &reports[0];
    assert!(report.is_strike && report.reason.contains("told to trap"));
    assert!(
        report.trace.iter().any(|frame| frame.contains("zoo")),
        "{report:?}"
    );
    assert_eq!(report.kind, Some(EventKind::Msr));
    assert_eq!(report.answered, Some(FailureMode::Closed));
    let digest = oriel_policy::inspect(&oriel_tests::plugin("oriel-zoo")).expect("ours");
    assert_eq!((report.digest, report.revision), (digest.digest, 1));
    let shown = oriel_engine::lines::report(report);
    assert_eq!((&shown["vcpu"], &shown["seq"]), (&0.into(), &1.into()));
    assert_eq!(shown["event"]["data"]["new"], "0x1");
    assert_eq!(shown["answered"], "closed");
    let known = handle.roster().failures("bad").expect("it is there");
    assert_eq!(known.len(), 3);
    assert_eq!(handle.standing("bad"), Ok(Standing::Quarantined));
    assert_eq!(handle.release("bad"), Ok(()));
    assert_eq!(handle.standing("bad"), Ok(Standing::Asked));
    assert_eq!(handle.release("bad"), Err(Refusal::Invalid));
    let ran = vm.stop();
    let quarantined = |failed: &&&Failed| failed.quarantined;
    assert_eq!(ran.failures().iter().filter(quarantined).count(), 1);
    let alerts = ran.alerts();
    let said: Vec<_> = alerts.iter().map(|alert| &alert.message[..6]).collect();
    assert_eq!(said, ["in qua", "out of"], "{alerts:?}");
}
