//! vCPUs that wait for each other, each on its own thread.

use std::{sync::Arc, thread};

use oriel_protocol::{EventKind, Verdict, events::ShutdownCause, x86::Register};

use super::{Run, wanting};
use crate::{
    Wants,
    machine::{End, Exit, Vcpu},
    mock::{Report, Scenario, Step},
    outlet::Kept,
};

/// Runs every vCPU on a thread to its end.
fn run(scenario: &Scenario) -> (Vec<End>, Vec<(u32, u64)>) {
    let kept = Arc::new(Kept::default());
    let parts = scenario.build(kept.clone()).unwrap();
    let threads: Vec<_> = parts
        .vcpus
        .into_iter()
        .map(|vcpu| thread::spawn(|| to_end(vcpu)))
        .collect();
    let ends = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    (ends, kept.reports())
}

fn to_end(mut vcpu: Box<dyn Vcpu>) -> End {
    loop {
        if let Exit::Ended(end) = vcpu.enter(Verdict::Continue).unwrap() {
            return end;
        }
    }
}

fn rip() -> Step {
    Step::new(Report::Register(Register::Rip))
}

#[test]
fn reports_of_several_vcpus_come_in_the_order_of_their_signals() {
    let scenario = Scenario::new("order")
        .vcpus(3)
        .step(Step::wait_for("b").on(2))
        .step(rip().on(2))
        .step(Step::finish(0).on(2))
        .step(Step::wait_for("a").on(1))
        .step(rip().on(1))
        .step(Step::signal("b").on(1))
        .step(rip())
        .step(Step::signal("a"));
    for _ in 0..20 {
        let (ends, reports) = run(&scenario);
        assert_eq!(ends, vec![End::Finished(0); 3]);
        let order: Vec<_> = reports.iter().map(|(vcpu, _)| *vcpu).collect();
        assert_eq!(order, [0, 1, 2]);
    }
}

#[test]
fn two_vcpus_take_turns_as_often_as_they_like() {
    let scenario = Scenario::new("turns").vcpus(2).with_steps([
        Step::signal("ball"),
        Step::wait_for("back").times(1),
        Step::wait_for("ball").on(1),
        rip().on(1),
        Step::signal("back").on(1),
    ]);
    let turns = (0..10).flat_map(|_| scenario.steps().to_vec());
    let scenario = Scenario::new("turns").vcpus(2).with_steps(turns);
    let (ends, reports) = run(&scenario);
    assert_eq!(ends, vec![End::Shutdown(ShutdownCause::Halted); 2]);
    assert_eq!(reports.len(), 10);
}

#[test]
fn one_signal_lets_every_waiting_vcpu_go() {
    let waiting = (1..4).flat_map(|vcpu| [Step::wait_for("go").on(vcpu), rip().on(vcpu)]);
    let scenario = Scenario::new("all")
        .vcpus(4)
        .step(Step::signal("go"))
        .with_steps(waiting);
    assert_eq!(run(&scenario).1.len(), 3);
}

#[test]
fn vcpus_that_wait_for_each_other_end_the_vm_by_name() {
    let scenario = Scenario::new("stuck")
        .vcpus(2)
        .step(Step::wait_for("a"))
        .step(Step::signal("b"))
        .step(Step::wait_for("b").on(1))
        .step(Step::signal("a").on(1));
    let reason = "every vCPU waits for another one: vCPU 0 for `a`, vCPU 1 for `b`";
    assert_eq!(run(&scenario).0, vec![End::Crashed(reason.to_owned()); 2]);
}

#[test]
fn a_vm_whose_vcpus_have_all_halted_shuts_down_once() {
    let mut run = Run::of(&Scenario::new("halts"), &wanting(&[EventKind::Shutdown]));
    let event = run.event(Verdict::Continue);
    let halted = oriel_protocol::events::Shutdown {
        cause: ShutdownCause::Halted,
    };
    assert_eq!(event.data, halted.into());
    assert_eq!(
        run.end(Verdict::Continue),
        End::Shutdown(ShutdownCause::Halted)
    );
    assert_eq!(
        run.end(Verdict::Continue),
        End::Shutdown(ShutdownCause::Halted),
        "for good"
    );
}

#[test]
fn a_crash_on_one_vcpu_stops_the_others() {
    let scenario = Scenario::new("crash")
        .vcpus(2)
        .step(Step::write_msr(0x10, 1));
    let parts = scenario.build(Arc::new(Kept::default())).unwrap();
    parts.machine.arm(&wanting(&[EventKind::Msr])).unwrap();
    let mut vcpus = parts.vcpus;
    let other = vcpus.remove(1);
    let guest = thread::spawn(|| to_end(other));
    assert!(matches!(
        vcpus[0].enter(Verdict::Continue).unwrap(),
        Exit::Event(_)
    ));
    assert_eq!(
        vcpus[0].enter(Verdict::Crash).unwrap(),
        Exit::Ended(End::Stopped)
    );
    assert_eq!(guest.join().unwrap(), End::Stopped);
}

#[test]
fn the_first_end_stands() {
    let scenario = Scenario::new("ends")
        .vcpus(2)
        .step(Step::finish(1))
        .step(Step::finish(2).on(1));
    let parts = scenario.build(Arc::new(Kept::default())).unwrap();
    parts.machine.arm(&Wants::default()).unwrap();
    let ends: Vec<_> = parts.vcpus.into_iter().map(to_end).collect();
    assert_eq!(ends, [End::Finished(1), End::Finished(1)]);
}
