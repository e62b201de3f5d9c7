//! Hardware points: before an instruction, and behind an access.

use oriel_protocol::{
    Access, Event, EventData, EventKind, HardwarePoint, Verdict,
    commands::vcpu::Place,
    events::Breakpoint,
    x86::{Exception, msr},
};

use super::{Run, wanting};
use crate::{
    ArmError, Wants,
    mock::{Instruction, Scenario, Step, instruction::Touch},
};

const AT: u64 = 0x3000;
const DATA: u64 = 0x5000;

fn watching(points: &[HardwarePoint]) -> Wants {
    Wants {
        hardware: points.to_vec(),
        ..wanting(&[EventKind::Breakpoint, EventKind::Msr])
    }
}

fn code(gva: u64) -> HardwarePoint {
    HardwarePoint::execute(gva).unwrap()
}

fn data(gva: u64, length: u8, access: Access) -> HardwarePoint {
    HardwarePoint::new(gva, length, access).unwrap()
}

fn touch(access: Access, gva: u64, size: u8) -> Step {
    Step::new(Instruction::Page(Touch {
        access,
        place: Place::Gva(gva),
        size,
        value: (access == Access::WRITE).then_some(0x11),
    }))
}

fn hit(event: &Event) -> Breakpoint {
    let EventData::Breakpoint(hit) = event.data else {
        panic!("{event:?}");
    };
    assert!(hit.managed);
    hit
}

#[test]
fn a_point_stops_an_instruction_before_it_has_any_effect() {
    let scenario = Scenario::new("h").step(Step::write_msr(msr::LSTAR, 0x77).at(AT).times(2));
    let mut run = Run::of(&scenario, &watching(&[code(AT)]));
    for _ in 0..2 {
        let event = run.event(Verdict::Continue);
        let expected = Breakpoint {
            gva: AT,
            gpa: AT,
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        };
        assert_eq!((hit(&event), event.retired), (expected, false));
        assert_eq!(event.allowed, EventKind::Breakpoint.verdicts());
        assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Msr);
    }
    hit(&run.event(Verdict::Retry));
    run.end(Verdict::Skip);
}

#[test]
fn a_point_with_an_int3_on_it_is_one_event() {
    let scenario = Scenario::new("h").step(Step::plain().at(AT));
    let mut wants = watching(&[code(AT)]);
    wants.breakpoints = [AT].into();
    let mut run = Run::of(&scenario, &wants);
    assert_eq!(run.kinds(), [EventKind::Breakpoint]);
}

#[test]
fn a_point_is_met_where_nothing_is_mapped() {
    let nowhere = 0xffff_ffff_8100_0000;
    let scenario = Scenario::new("h").step(Step::plain().at(nowhere));
    let mut run = Run::of(&scenario, &watching(&[code(nowhere)]));
    let hit = hit(&run.event(Verdict::Continue));
    assert_eq!((hit.gva, hit.gpa), (nowhere, u64::MAX));
    run.end(Verdict::Continue);
}

#[test]
fn a_watched_write_is_told_behind_it_and_stands() {
    let scenario = Scenario::new("h").step(touch(Access::WRITE, DATA + 2, 1).at(AT));
    let mut run = Run::of(&scenario, &watching(&[data(DATA, 4, Access::WRITE)]));
    let event = run.event(Verdict::Continue);
    let expected = Breakpoint {
        gva: DATA,
        gpa: DATA,
        length: 4,
        managed: true,
        access: Access::WRITE,
    };
    assert_eq!((hit(&event), event.retired), (expected, true));
    assert_eq!(event.ip, AT + 3, "behind the instruction");
    assert_eq!(event.allowed, EventKind::Singlestep.verdicts());
    assert_eq!(run.word(DATA), 0x11_0000);
    run.end(Verdict::Continue);
}

#[test]
fn an_access_meets_every_point_that_it_touches_and_no_other() {
    let points = [
        data(DATA, 2, Access::WRITE),
        data(DATA + 4, 4, HardwarePoint::READ_WRITE),
        data(DATA + 8, 8, HardwarePoint::READ_WRITE),
    ];
    let load = touch(Access::READ, DATA, 8);
    let store = touch(Access::WRITE, DATA, 8);
    let mut run = Run::of(
        &Scenario::new("h").step(load).step(store),
        &watching(&points),
    );
    let met: Vec<_> = (0..3)
        .map(|_| {
            let met = hit(&run.event(Verdict::Continue));
            (met.gva, met.access)
        })
        .collect();
    let both = HardwarePoint::READ_WRITE;
    assert_eq!(
        met,
        [(DATA + 4, both), (DATA, Access::WRITE), (DATA + 4, both)]
    );
    run.end(Verdict::Continue);
}

#[test]
fn a_write_that_two_watch_for_is_one_event_that_says_so() {
    let points = [
        data(DATA, 8, HardwarePoint::READ_WRITE),
        data(DATA, 8, Access::WRITE),
    ];
    let load = touch(Access::READ, DATA, 8);
    let store = touch(Access::WRITE, DATA, 8);
    let mut run = Run::of(
        &Scenario::new("h").step(store).step(load),
        &watching(&points),
    );
    assert_eq!(hit(&run.event(Verdict::Continue)).access, Access::WRITE);
    let read = hit(&run.event(Verdict::Continue));
    assert_eq!(read.access, HardwarePoint::READ_WRITE);
    run.end(Verdict::Continue);
}

#[test]
fn an_access_that_is_not_made_meets_nothing() {
    let mut wants = watching(&[data(DATA, 8, Access::WRITE)]);
    wants.events.insert(EventKind::Page);
    wants.pages.insert(DATA / 4096, Access::READ);
    let store = touch(Access::WRITE, DATA, 8).times(2);
    let mut run = Run::of(&Scenario::new("h").step(store), &wants);
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Page);
    assert_eq!(run.event(Verdict::Skip).kind(), EventKind::Page);
    assert_eq!(run.event(Verdict::Continue).kind(), EventKind::Breakpoint);
    run.end(Verdict::Continue);
}

#[test]
fn a_watched_access_comes_before_the_step_that_made_it() {
    let mut wants = watching(&[data(DATA, 8, Access::WRITE)]);
    wants.events.insert(EventKind::Singlestep);
    wants.singlestep = vec![0];
    let store = touch(Access::WRITE, DATA, 8).times(2);
    let mut run = Run::of(&Scenario::new("h").step(store), &wants);
    let (watched, step) = (EventKind::Breakpoint, EventKind::Singlestep);
    assert_eq!(run.kinds(), [watched, step, watched, step]);
}

#[test]
fn an_exception_can_be_raised_behind_a_watched_access() {
    let scenario = Scenario::new("h").step(touch(Access::WRITE, DATA, 8).at(AT));
    let mut run = Run::of(&scenario, &watching(&[data(DATA, 8, Access::WRITE)]));
    run.event(Verdict::Continue);
    run.end(Verdict::Inject(Exception::GP0));
    assert_eq!(run.faults(), [(13, AT + 3)]);
    assert_eq!(run.word(DATA), 0x11);
}

#[test]
fn a_fifth_point_is_refused_and_the_four_stay() {
    let four = [
        code(AT),
        code(0x10),
        code(0x20),
        data(DATA, 8, Access::WRITE),
    ];
    let scenario = Scenario::new("h").step(Step::plain().at(AT));
    let mut run = Run::of(&scenario, &watching(&four));
    let five = [&[code(0x30)], &four[..]].concat();
    let error = run.machine.arm(&watching(&five)).unwrap_err();
    assert!(matches!(error, ArmError::Full { .. }), "{error}");
    assert!(error.to_string().contains("0x30:"), "{error}");
    assert_eq!(run.kinds(), [EventKind::Breakpoint], "as armed before");
}
