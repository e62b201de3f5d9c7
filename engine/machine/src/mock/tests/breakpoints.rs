//! Breakpoints: managed ones, which are not in memory, and those that are.

use oriel_protocol::{Event, EventData, EventKind, Verdict, x86::msr};

use super::{Run, wanting};
use crate::{
    Wants,
    mock::{Instruction, Scenario, Step, instruction::Reach},
};

const AT: u64 = 0x3000;

fn reach() -> Step {
    Step::new(Instruction::Breakpoint(Reach {})).at(AT)
}

fn managed_at(gpa: u64) -> Wants {
    Wants {
        breakpoints: [gpa].into(),
        ..wanting(&[EventKind::Breakpoint, EventKind::Msr])
    }
}

/// Whether the breakpoint event at [`AT`] is of a managed one.
fn managed(event: &Event) -> bool {
    let EventData::Breakpoint(it) = event.data else {
        panic!("{event:?}");
    };
    assert_eq!((it.gva, it.gpa, it.length), (AT, AT, 1));
    it.managed
}

#[test]
fn a_managed_breakpoint_is_never_in_memory_and_survives_writes() {
    let scenario = Scenario::new("b").memory(AT, [0x90; 8]).step(reach());
    let mut run = Run::of(&scenario, &managed_at(AT));
    assert_eq!(run.word(AT), 0x9090_9090_9090_9090);
    run.machine.memory().write_at(AT, &[0x0f, 0x30]).unwrap();
    assert_eq!(run.word(AT), 0x9090_9090_9090_300f);
    assert!(managed(&run.event(Verdict::Continue)));
    assert_eq!(run.faults(), [], "nothing is raised in the guest");
}

#[test]
fn a_managed_breakpoint_stops_an_instruction_before_it_has_any_effect() {
    let scenario = Scenario::new("b").step(Step::write_msr(msr::LSTAR, 0x77).at(AT));
    let mut run = Run::of(&scenario, &managed_at(AT));
    assert!(managed(&run.event(Verdict::Continue)));
    let write = run.event(Verdict::Continue);
    assert_eq!(
        (write.kind(), write.ip),
        (EventKind::Msr, AT),
        "stepped over, it runs"
    );
    assert!(
        managed(&run.event(Verdict::Retry)),
        "tried again, it is reached again"
    );
}

#[test]
fn a_managed_breakpoint_that_is_skipped_takes_the_instruction_with_it() {
    let scenario = Scenario::new("b").step(Step::write_msr(msr::LSTAR, 0x77).at(AT));
    let mut run = Run::of(&scenario, &managed_at(AT));
    run.event(Verdict::Continue);
    run.end(Verdict::Skip);
    assert_eq!((run.vcpu.msr(msr::LSTAR), run.rip()), (Ok(0), AT + 2));
}

#[test]
fn an_int3_in_memory_is_unmanaged_and_raises_bp_unless_it_is_handled() {
    let scenario = Scenario::new("b").step(reach()).step(reach());
    let mut run = Run::of(&scenario, &wanting(&[EventKind::Breakpoint]));
    run.machine.memory().write_at(AT, &[0xcc]).unwrap();
    assert!(!managed(&run.event(Verdict::Continue)));
    assert!(!managed(&run.event(Verdict::Continue)));
    assert_eq!(
        (run.faults(), run.rip()),
        (vec![(3, AT)], AT),
        "the second step"
    );
    let mut general = run.vcpu.general().unwrap();
    general.rip += 1;
    run.vcpu.set_general(&general).unwrap();
    run.end(Verdict::Retry);
    assert_eq!(
        (run.faults().len(), run.rip()),
        (1, AT + 1),
        "handled by a judge"
    );
}

#[test]
fn an_int3_that_a_tool_wrote_under_a_managed_breakpoint_runs_when_that_is_stepped_over() {
    let mut run = Run::of(&Scenario::new("b").step(reach()), &managed_at(AT));
    run.machine.memory().write_at(AT, &[0xcc]).unwrap();
    assert!(managed(&run.event(Verdict::Continue)));
    assert!(!managed(&run.event(Verdict::Continue)));
    run.end(Verdict::Continue);
    assert_eq!(run.faults(), [(3, AT)]);
}

#[test]
fn an_int3_that_nobody_listens_to_is_the_guests_own_business() {
    let scenario = Scenario::new("b").memory(AT, [0xcc]).step(reach());
    let mut run = Run::of(&scenario, &Wants::default());
    run.end(Verdict::Continue);
    assert_eq!(run.faults(), [(3, AT)]);
}

#[test]
fn a_breakpoint_is_found_by_its_physical_address_through_the_tables_in_force() {
    let text = "
        [[map]]
        gva = '0xffffffff81000000'
        gpa = 0x3000
        [[step]]
        event = 'singlestep'
        ip = '0xffffffff81000010'
        [[step]]
        event = 'singlestep'
        ip = 0x3011
    ";
    let mut run = Run::text(text, &managed_at(0x3010));
    let event = run.event(Verdict::Continue);
    assert_eq!(event.ip, 0xffff_ffff_8100_0010);
    run.end(Verdict::Continue);
}

#[test]
fn a_breakpoint_that_is_set_inside_an_event_is_reached_when_the_instruction_is_tried_again() {
    let scenario = Scenario::new("b").step(Step::write_msr(msr::LSTAR, 0x77).at(AT));
    let mut run = Run::of(&scenario, &wanting(&[EventKind::Msr]));
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Msr);
    run.machine.arm(&managed_at(AT)).unwrap();
    assert!(managed(&run.event(Verdict::Retry)));
}
