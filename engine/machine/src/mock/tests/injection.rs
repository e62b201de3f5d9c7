//! Exceptions that judges inject, and the `trap` events that tell of them.

use oriel_protocol::{
    Event, EventData, EventKind, Refusal, Verdict,
    events::Trap,
    x86::{Exception, msr},
};

use super::{Run, wanting};
use crate::{
    machine::Exit,
    mock::{Instruction, Scenario, Step, instruction::Reach},
};

const UD: Exception = exception(6, None, 0);

const fn exception(vector: u8, error_code: Option<u32>, address: u64) -> Exception {
    Exception {
        vector,
        error_code,
        address,
    }
}

/// A vCPU at an MSR event, with `trap` wanted too.
fn at_write() -> Run {
    let scenario = Scenario::new("i")
        .step(Step::write_msr(msr::LSTAR, 1))
        .step(Step::plain());
    let mut run = Run::of(&scenario, &wanting(&[EventKind::Msr, EventKind::Trap]));
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Msr);
    run
}

fn trap(event: &Event) -> Trap {
    let EventData::Trap(trap) = event.data else {
        panic!("{event:?}");
    };
    trap
}

#[test]
fn an_injected_exception_is_told_when_it_is_delivered() {
    let mut run = at_write();
    let event = run.event(Verdict::Inject(exception(14, Some(2), 0xdead_0000)));
    let told = Trap {
        vector: 14,
        error_code: Some(2),
        address: 0xdead_0000,
    };
    assert_eq!((trap(&event), event.ip), (told, 0x1000));
    assert_eq!(run.vcpu.special().unwrap().cr2, 0xdead_0000);
    run.end(Verdict::Continue);
    assert_eq!((run.faults(), run.rip()), (vec![(14, 0x1000)], 0x1003));
}

#[test]
fn a_second_injection_is_busy_until_the_first_is_delivered() {
    let mut run = at_write();
    assert_eq!(run.vcpu.inject(UD), Ok(()));
    assert_eq!(run.vcpu.inject(UD), Err(Refusal::Busy));
    let event = run.event(Verdict::Continue);
    assert_eq!(
        (trap(&event).vector, event.ip),
        (6, 0x1002),
        "behind the write, which happened"
    );
    assert_eq!(run.vcpu.inject(UD), Ok(()));
    assert_eq!(
        run.vcpu.inject(exception(32, None, 0)),
        Err(Refusal::Invalid)
    );
}

#[test]
fn a_fault_takes_the_place_of_a_pending_injection_and_is_told_instead() {
    let mut run = at_write();
    run.vcpu.inject(UD).unwrap();
    assert_eq!(trap(&run.event(Verdict::Deny)).vector, 13);
    run.end(Verdict::Continue);
    assert_eq!(run.faults(), [(13, 0x1000)]);
}

#[test]
fn an_unmanaged_breakpoint_takes_the_place_of_a_pending_injection() {
    let scenario = Scenario::new("i").memory(0x1000, [0xcc]);
    let scenario = scenario.step(Step::new(Instruction::Breakpoint(Reach {})));
    let mut run = Run::of(
        &scenario,
        &wanting(&[EventKind::Breakpoint, EventKind::Trap]),
    );
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Breakpoint);
    run.vcpu.inject(UD).unwrap();
    assert_eq!(trap(&run.event(Verdict::Continue)).vector, 3);
}

#[test]
fn a_denied_instruction_faults_without_a_trap_event() {
    let mut run = at_write();
    run.end(Verdict::Deny);
    assert_eq!(run.faults(), [(13, 0x1000)]);
}

#[test]
fn an_exception_that_is_injected_while_the_vcpu_is_kicked_out_comes_first() {
    let mut run = at_write();
    run.vcpu.kicker().kick();
    assert_eq!(run.enter(Verdict::Skip), Exit::Kicked);
    run.vcpu.inject(UD).unwrap();
    run.vcpu.acknowledge_kick();
    assert_eq!(trap(&run.event(Verdict::Continue)).vector, 6);
    run.end(Verdict::Continue);
    assert_eq!((run.faults(), run.rip()), (vec![(6, 0x1002)], 0x1003));
}

#[test]
fn an_exception_can_be_injected_after_a_single_step() {
    let mut wants = wanting(&[EventKind::Singlestep, EventKind::Trap]);
    wants.singlestep = vec![0];
    let mut run = Run::of(&Scenario::new("i").step(Step::plain().times(2)), &wants);
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Singlestep);
    assert_eq!(trap(&run.event(Verdict::Inject(UD))).vector, 6);
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Singlestep);
    run.end(Verdict::Continue);
    assert_eq!(run.faults(), [(6, 0x1001)]);
}
