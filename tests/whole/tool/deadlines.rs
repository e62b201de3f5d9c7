//! Tools that do not answer: the guest goes on, or is stopped, and the tool is gone. The deadlines
//! are short here and every wait is long, so nothing depends on how fast the host is.

use std::time::Duration;

use oriel_engine::{
    Record,
    tool::{OnFailure, Settings, candidate},
};
use oriel_machine::End;
use oriel_protocol::{
    Dialect, EventKind, Verdict,
    commands::{
        vcpu::{GetRegisters, SetRegisters},
        vm::{ControlVmEvents, PauseVcpu},
    },
};
use oriel_tests::{
    Vm, scenario,
    tool::{NAME, settings},
};

use super::{BOTH_WRITE, KERNELS, SHOWS_RBX, WRITES, hear_star, hooked_by};

const SHORT: Duration = Duration::from_millis(20);

fn impatient(dialect: Dialect) -> Settings {
    Settings {
        deadline: SHORT,
        ..settings(dialect)
    }
}

#[test]
fn a_guest_goes_on_without_a_tool_that_never_answers() {
    for dialect in KERNELS {
        let seat = candidate(NAME, impatient(dialect));
        let (vm, mut tool) = hooked_by(seat, &scenario(BOTH_WRITE));
        hear_star(&mut tool, 0);
        vm.go(1);
        let event = tool.event_of(EventKind::Msr);
        assert!(tool.is_hung_up_on());
        assert!(tool.ended().contains("did not answer"), "{dialect:?}");
        let mut second = vm.hook(NAME);
        hear_star(&mut second, 1);
        vm.handle().resume(1).expect("it waits");
        let next = second.event_of(EventKind::Msr);
        assert_eq!((event.vcpu, next.vcpu, next.seq), (0, 1, 1));
        second.value(&next, 22);
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0));
        let mut reports = ran.reports.clone();
        reports.sort_unstable();
        assert_eq!(reports, [1, 22], "the first went on with its own value");
        let failures = ran.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert_eq!(&*failures[0].judge, NAME);
        assert_eq!(failures[0].kind, Some(EventKind::Msr));
        assert_eq!(failures[0].verdict, Verdict::Continue);
        assert!(failures[0].failure.contains("20ms"), "{failures:?}");
    }
}

#[test]
fn what_it_had_set_for_its_answer_is_forgotten() {
    let seat = candidate(NAME, impatient(Dialect::V7));
    let (vm, mut tool) = hooked_by(seat, &scenario(SHOWS_RBX));
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    let mut general = event.snapshot.general;
    general.rbx = 5;
    let (_, set) = tool.vcpu_bytes(0, SetRegisters { general });
    // The deadline may be over before this is sent.
    let _ = tool.try_bytes(&set);
    assert!(tool.is_hung_up_on());
    assert_eq!(vm.wait().reports, [0]);
}

#[test]
fn where_the_operator_says_so_the_vm_is_stopped() {
    let on_failure = OnFailure::Crash;
    let seat = candidate(
        NAME,
        Settings {
            on_failure,
            ..impatient(Dialect::V7)
        },
    );
    let (vm, mut tool) = hooked_by(seat, &scenario(WRITES));
    hear_star(&mut tool, 0);
    vm.go(1);
    let ran = vm.wait();
    assert_eq!(ran.outcome.end, End::Stopped);
    assert_eq!(ran.failures().len(), 1);
    assert_eq!(ran.failures()[0].verdict, Verdict::Crash);
    assert!(ran.reports.is_empty());
}

#[test]
fn a_tool_that_hangs_up_is_no_failure_even_then() {
    let on_failure = OnFailure::Crash;
    let seat = candidate(
        NAME,
        Settings {
            on_failure,
            ..settings(Dialect::V7)
        },
    );
    let (vm, mut tool) = hooked_by(seat, &scenario(WRITES));
    hear_star(&mut tool, 0);
    vm.go(1);
    let _ = tool.event_of(EventKind::Msr);
    let _ = tool.hang_up();
    let ran = vm.wait();
    assert_eq!(
        (ran.outcome.end.clone(), ran.reports.clone()),
        (End::Finished(0), vec![9])
    );
    assert!(ran.failures().is_empty());
}

/// While the first tool holds a pause, another one is given an event and meets its deadline: so
/// that time has passed for the first one as well.
#[test]
fn a_pause_may_be_held_for_longer_than_an_event() {
    for dialect in KERNELS {
        let names = ["reader", "sleeper"];
        let seats = names.map(|name| candidate(name, impatient(dialect)));
        let vm = Vm::of(&scenario(BOTH_WRITE), seats.into());
        let mut reader = vm.hook("reader");
        let mut sleeper = vm.hook("sleeper");
        hear_star(&mut sleeper, 1);
        let (vcpu, wait) = (0, true);
        assert_eq!(reader.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let paused = reader.event_of(EventKind::Pause);
        vm.go(2);
        assert!(sleeper.ended().contains("did not answer"));
        let registers = reader.on(0, GetRegisters { msrs: vec![] });
        let general = registers.expect("it is hooked").general;
        assert_eq!(general, paused.snapshot.general);
        reader.go_on(&paused);
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0));
        assert_eq!(ran.failures().len(), 1, "the other's");
    }
}

#[test]
fn a_pause_has_its_limit_too() {
    for dialect in KERNELS {
        let limits = Settings {
            pause_limit: SHORT,
            ..settings(dialect)
        };
        let (vm, mut tool) = hooked_by(candidate(NAME, limits), &scenario(WRITES));
        let (vcpu, wait) = (0, true);
        assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let _ = tool.event_of(EventKind::Pause);
        assert!(tool.is_hung_up_on());
        vm.go(1);
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0));
        assert_eq!(ran.failures().len(), 1);
        assert_eq!(ran.failures()[0].kind, Some(EventKind::Pause));
    }
}

#[test]
fn a_tool_that_stays_after_unhook_is_hung_up_on() {
    let (vm, mut tool) = hooked_by(candidate(NAME, impatient(Dialect::V7)), &scenario(WRITES));
    let (event, enable) = (EventKind::Unhook, true);
    assert_eq!(tool.vm(ControlVmEvents { event, enable }), Ok(()));
    vm.go(1);
    let _ = tool.event_of(EventKind::Unhook);
    assert!(tool.is_hung_up_on());
    assert!(tool.ended().contains("UNHOOK"));
    assert_eq!(vm.wait().outcome.end, End::Finished(0));
}

#[test]
fn coming_and_going_is_told() {
    let (vm, tool) = hooked_by(candidate(NAME, settings(Dialect::V12)), &scenario(WRITES));
    let _ = tool.hang_up();
    let second = vm.hook(NAME);
    vm.go(1);
    let ran = vm.wait();
    drop(second);
    let visits: Vec<_> = ran
        .records
        .iter()
        .filter_map(|record| {
            let Record::Tool(visit) = record else {
                return None;
            };
            Some((visit.hooked, visit.detail.as_str()))
        })
        .collect();
    let expected = [
        (true, "speaking v12"),
        (false, "it has closed the connection"),
        (true, "speaking v12"),
        (false, "the VM has ended"),
    ];
    assert_eq!(visits, expected);
}
