//! Threads: commands between vCPUs, pauses, stops, per-VM instances.

use std::{sync::Arc, time::Duration};

use oriel_engine::{Candidate, Desk, Engine, Judge, Record, Ruling, Sink, record};
use oriel_machine::{
    End,
    mock::{self, Scenario, Step},
    outlet,
};
use oriel_policy::Store;
use oriel_protocol::{
    Case, EventKind, Moment, Refusal, Verdict,
    commands::{
        vcpu::GetRegister,
        vm::{PauseOthers, PauseVcpu},
    },
    x86::{Register, msr},
};
use oriel_tests::{Load, host, native, play, zoo};

/// Far longer than anything takes, so that nothing but a hang meets it.
const FOREVER: Duration = Duration::from_secs(60);

/// Two vCPUs that write an MSR many times each.
fn busy(writes: u64) -> Scenario {
    let write = |vcpu| Step::write_msr(msr::STAR, 7).on(vcpu).times(writes);
    Scenario::new("busy")
        .vcpus(2)
        .register(Some(0), Register::Rbx, 100)
        .register(Some(1), Register::Rbx, 101)
        .step(write(0))
        .step(Step::signal("zero").on(0))
        .step(write(1))
        .step(Step::signal("one").on(1))
        .step(Step::wait_for("one").on(0))
        .step(Step::finish(0).on(0))
}

#[test]
fn a_judge_reads_the_registers_of_another_vcpu() {
    let judge = native("asks", &[EventKind::Msr], |case, desk| {
        let other = 1 - case.moment.vcpu;
        match desk.on(
            other,
            GetRegister {
                register: Register::Rbx,
            },
        ) {
            Ok(value) => assert_eq!(value, u64::from(100 + other)),
            // It has ended, or had too much to do.
            Err(refusal) => assert!(
                matches!(refusal, Refusal::Gone | Refusal::Busy),
                "{refusal}"
            ),
        }
        Verdict::Continue
    });
    let ran = play(&busy(200), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 400)
    );
}

#[test]
fn two_vcpus_that_pause_each_other_both_go_on() {
    let judge = native("pauses", &[EventKind::Msr], |case, desk| {
        match desk.vm(PauseVcpu {
            vcpu: 1 - case.moment.vcpu,
            wait: true,
        }) {
            Ok(()) => {}
            Err(refusal) => assert!(
                matches!(refusal, Refusal::Gone | Refusal::Busy),
                "{refusal}"
            ),
        }
        Verdict::Continue
    });
    let ran = play(&busy(100), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 200)
    );
}

#[test]
fn of_two_that_hold_the_world_one_is_told_that_it_is_busy() {
    let judge = native("holds", &[EventKind::Msr], |_, desk| {
        match desk.vm(PauseOthers {}) {
            Ok(()) => {}
            Err(refusal) => assert!(
                matches!(refusal, Refusal::Busy | Refusal::Gone),
                "{refusal}"
            ),
        }
        Verdict::Continue
    });
    let ran = play(&busy(100), vec![judge]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 200)
    );
}

#[test]
fn a_paused_vcpu_answers_commands_and_goes_on_when_resumed() {
    let storm = mock::builtin("msr-storm").expect("built in").looping();
    let told = Arc::new(record::Kept::default());
    let parts = storm
        .build(Arc::new(outlet::Kept::default()))
        .expect("well formed");
    let engine = Engine::new(host(), parts).sink(told as Arc<dyn Sink>);
    let running = engine
        .judge(native("any", &[], |_, _| Verdict::Continue))
        .start()
        .expect("starts");
    let vm = running.handle();
    for _ in 0..100 {
        assert_eq!(vm.pause(0, FOREVER), Ok(()));
        assert!(
            vm.run(
                0,
                0,
                GetRegister {
                    register: Register::Rip
                },
                FOREVER
            )
            .is_ok()
        );
        assert_eq!(vm.resume(0), Ok(()));
    }
    assert_eq!(vm.pause(99, FOREVER), Err(Refusal::NotFound));
    vm.stop();
    assert_eq!(running.wait().end, End::Cancelled);
    assert_eq!(vm.resume(0), Err(Refusal::Gone));
}

#[test]
fn an_instance_per_vm_is_shared_by_its_vcpus_one_at_a_time() {
    let store = Arc::new(Store::default());
    let host = host();
    let counts = zoo("count").store(&store).per_vm();
    let ran = play(&busy(500), vec![counts.candidate(&host)]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 1000)
    );
    assert!(ran.failures().is_empty());
    let counted = store.apply(oriel_protocol::commands::service::StoreGet {
        key: "count".to_owned(),
    });
    assert_eq!(counted, Ok(Some(1000u64.to_le_bytes().to_vec())));
}

#[test]
fn instances_per_vcpu_share_by_the_store() {
    let store = Arc::new(Store::default());
    let host = host();
    let ran = play(
        &busy(500),
        vec![zoo("count").store(&store).candidate(&host)],
    );
    assert_eq!(ran.outcome.events, 1000);
    let counted = store.apply(oriel_protocol::commands::service::StoreGet {
        key: "count".to_owned(),
    });
    assert_eq!(counted, Ok(Some(1000u64.to_le_bytes().to_vec())));
}

/// Passes records on to a test that waits for one.
struct Told(std::sync::mpsc::Sender<Record>);

impl Sink for Told {
    fn put(&self, record: Record) {
        // The test may have seen enough.
        let _ = self.0.send(record);
    }
}

/// Runs a guest that never ends under this policy, until the engine has told this often of
/// what `wanted` picks.
fn until(policy: &Load, times: usize, wanted: impl Fn(&Record) -> bool) {
    let (told, records) = std::sync::mpsc::channel();
    let endless = Scenario::new("endless").step(Step::serial("x")).looping();
    let parts = endless
        .build(Arc::new(outlet::Kept::default()))
        .expect("well formed");
    let engine = Engine::new(host(), parts).sink(Arc::new(Told(told)));
    let running = engine
        .judge(policy.candidate(&host()))
        .start()
        .expect("starts");
    let mut seen = 0;
    while seen < times {
        let record = records.recv_timeout(FOREVER).expect("it is told in time");
        seen += usize::from(wanted(&record));
    }
    running.handle().stop();
    assert_eq!(running.wait().end, End::Cancelled);
}

#[test]
fn the_clock_calls_a_policy_that_ticks() {
    let policy = zoo("alert").text("at", "tick");
    until(
        &policy,
        2,
        |record| matches!(record, Record::Alert(alert) if alert.moment.vcpu == record::CLOCK),
    );
}

#[test]
fn a_trap_in_a_tick_is_told_and_the_next_tick_finds_a_fresh_instance() {
    let policy = zoo("trap").text("at", "tick");
    until(
        &policy,
        2,
        |record| matches!(record, Record::Failure(failed) if failed.kind.is_none()),
    );
}

#[test]
fn an_endless_loop_in_a_tick_is_stopped() {
    let mut policy = zoo("loop").text("at", "tick");
    policy.limits.tick = Duration::from_millis(2);
    until(
        &policy,
        1,
        |record| matches!(record, Record::Failure(failed) if failed.kind.is_none()),
    );
}

/// Counts the notices that it is told, and asks another vCPU in the middle of one.
struct Noticed(Arc<std::sync::Mutex<Vec<EventKind>>>);

impl Judge for Noticed {
    fn judge(&mut self, _: &Case<'_>, desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        (Ruling::CONTINUE, desk)
    }

    fn notice(&mut self, kind: EventKind, _: Moment, mut desk: Box<Desk>) -> (Ruling, Box<Desk>) {
        self.0.lock().expect("no panics").push(kind);
        // Waiting for an answer reads the mailbox, and with it perhaps the word that all ends.
        let _ = desk.on(
            1,
            GetRegister {
                register: Register::Rip,
            },
        );
        (Ruling::CONTINUE, desk)
    }
}

#[test]
fn notices_are_told_and_a_vcpu_that_is_paused_and_stopped_at_once_ends() {
    for _ in 0..20 {
        let kinds = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = kinds.clone();
        let notices = [EventKind::CreateVcpu, EventKind::Pause, EventKind::Unhook];
        let candidate = Candidate {
            make: Box::new(move |_, _| -> Box<dyn Judge> { Box::new(Noticed(told.clone())) }),
            ..native("noticed", &notices, |_, _| Verdict::Continue)
        };
        let endless = Scenario::new("endless").vcpus(2);
        let endless = endless
            .step(Step::plain())
            .step(Step::plain().on(1))
            .looping();
        let parts = endless
            .build(Arc::new(outlet::Kept::default()))
            .expect("well formed");
        let running = Engine::new(host(), parts)
            .judge(candidate)
            .start()
            .expect("starts");
        let vm = running.handle();
        assert_eq!(vm.pause(0, FOREVER), Ok(()));
        vm.stop();
        assert_eq!(running.wait().end, End::Cancelled);
        let kinds = kinds.lock().expect("no panics");
        assert!(
            kinds.contains(&EventKind::CreateVcpu) && kinds.contains(&EventKind::Unhook),
            "{kinds:?}"
        );
    }
}

#[test]
fn who_does_not_judge_a_kind_cannot_arm_it() {
    let mut observer = native("observer", &[EventKind::Msr], |_, desk| {
        let arm = oriel_protocol::commands::vcpu::ControlCr {
            cr: 3,
            enable: true,
        };
        assert_eq!(desk.on(0, arm), Err(Refusal::Denied));
        Verdict::Continue
    });
    observer.judges.remove(EventKind::Cr);
    let scenario = Scenario::new("arm")
        .step(Step::write_msr(msr::STAR, 7))
        .step(Step::finish(0));
    let ran = play(&scenario, vec![observer]);
    assert_eq!(
        (ran.outcome.end.clone(), ran.outcome.events),
        (End::Finished(0), 1)
    );
    let refused = ran
        .records
        .iter()
        .any(|record| matches!(record, Record::Refusal(no) if no.command.name() == "control-cr"));
    assert!(refused, "and it is told");
}
