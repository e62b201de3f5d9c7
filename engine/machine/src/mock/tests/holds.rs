//! One vCPU keeps the others out of the guest.

use std::{sync::Arc, thread};

use oriel_protocol::{Refusal, Verdict, commands::vcpu::Place};

use crate::{
    machine::{End, Exit, Machine, Vcpu},
    mock::{Instruction, Scenario, Step, instruction::Touch},
    outlet::Kept,
};

const SHARED: u64 = 0x5000;

fn store(value: u64) -> Step {
    Step::new(Instruction::Page(Touch {
        access: oriel_protocol::Access::WRITE,
        place: Place::Gpa(SHARED),
        size: 8,
        value: Some(value),
    }))
}

fn built(scenario: &Scenario) -> (Arc<dyn Machine>, Vec<Box<dyn Vcpu>>) {
    let parts = scenario.build(Arc::new(Kept::default())).unwrap();
    (parts.machine, parts.vcpus)
}

fn word(machine: &Arc<dyn Machine>) -> u64 {
    machine.memory().read_u64(SHARED).unwrap()
}

#[test]
fn memory_stands_still_while_the_world_is_held_and_moves_on_afterwards() {
    let scenario = Scenario::new("h").vcpus(2).looping();
    let scenario = scenario.step(store(1).on(1)).step(store(2).on(1));
    let (machine, mut vcpus) = built(&scenario);
    let mut other = vcpus.remove(1);
    let kicker = other.kicker();
    let guest = thread::spawn(move || other.enter(Verdict::Continue).unwrap());
    for _ in 0..100 {
        let hold = machine.hold_others(0).unwrap();
        let before = word(&machine);
        let still = (0..100).all(|_| word(&machine) == before);
        assert!(still, "written while it was held");
        drop(hold);
    }
    while word(&machine) != 1 {}
    while word(&machine) != 2 {}
    kicker.kick();
    assert_eq!(guest.join().unwrap(), Exit::Kicked);
}

#[test]
fn a_held_vcpu_sees_a_kick_without_going_in() {
    let scenario = Scenario::new("h")
        .vcpus(2)
        .step(store(1).on(1))
        .step(Step::finish(0).on(1));
    let (machine, mut vcpus) = built(&scenario);
    let mut other = vcpus.remove(1);
    let kicker = other.kicker();
    let hold = machine.hold_others(0).unwrap();
    let guest = thread::spawn(move || {
        let exit = other.enter(Verdict::Continue).unwrap();
        (other, exit)
    });
    kicker.kick();
    let (mut other, exit) = guest.join().unwrap();
    assert_eq!((exit, word(&machine)), (Exit::Kicked, 0));
    drop(hold);
    other.acknowledge_kick();
    let ended = Exit::Ended(End::Finished(0));
    assert_eq!(other.enter(Verdict::Continue).unwrap(), ended);
    assert_eq!(word(&machine), 1);
}

#[test]
fn of_two_that_hold_the_world_the_second_is_told_that_it_is_busy() {
    let (machine, _vcpus) = built(&Scenario::new("h").vcpus(2));
    let first = machine.hold_others(0).unwrap();
    assert_eq!(machine.hold_others(1).unwrap_err(), Refusal::Busy);
    let again = machine.hold_others(0).unwrap();
    drop(first);
    assert_eq!(
        machine.hold_others(1).unwrap_err(),
        Refusal::Busy,
        "held twice by the first"
    );
    drop(again);
    assert!(machine.hold_others(1).is_ok());
}

#[test]
fn who_holds_the_world_plays_on() {
    let scenario = Scenario::new("h")
        .vcpus(2)
        .step(store(1))
        .step(Step::finish(0));
    let (machine, mut vcpus) = built(&scenario);
    let _hold = machine.hold_others(0).unwrap();
    let ended = Exit::Ended(End::Finished(0));
    assert_eq!(vcpus[0].enter(Verdict::Continue).unwrap(), ended);
    assert_eq!(word(&machine), 1);
}

#[test]
fn a_vcpu_that_waits_or_has_halted_is_not_in_the_guest() {
    let scenario = Scenario::new("h")
        .vcpus(3)
        .step(Step::signal("go"))
        .step(Step::finish(0));
    let scenario = scenario.step(Step::wait_for("go").on(1));
    let (machine, mut vcpus) = built(&scenario);
    let others = vcpus.split_off(1).into_iter();
    let guests: Vec<_> = others
        .map(|mut vcpu| thread::spawn(move || vcpu.enter(Verdict::Continue).unwrap()))
        .collect();
    for _ in 0..100 {
        drop(machine.hold_others(0).unwrap());
    }
    let ended = Exit::Ended(End::Finished(0));
    assert_eq!(vcpus[0].enter(Verdict::Continue).unwrap(), ended);
    for guest in guests {
        assert_eq!(guest.join().unwrap(), ended);
    }
}

#[test]
fn the_end_comes_to_held_vcpus_too() {
    let scenario = Scenario::new("h")
        .vcpus(2)
        .step(Step::finish(3))
        .step(store(1).on(1));
    let (machine, mut vcpus) = built(&scenario);
    let mut other = vcpus.remove(1);
    let _hold = machine.hold_others(0).unwrap();
    let guest = thread::spawn(move || other.enter(Verdict::Continue).unwrap());
    let ended = Exit::Ended(End::Finished(3));
    assert_eq!(vcpus[0].enter(Verdict::Continue).unwrap(), ended);
    assert_eq!((guest.join().unwrap(), word(&machine)), (ended, 0));
}
