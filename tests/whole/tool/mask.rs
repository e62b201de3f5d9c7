//! What the operator has not allowed, where commands and events meet.

use oriel_engine::tool::{Settings, candidate};
use oriel_machine::End;
use oriel_protocol::{
    Dialect, EventKind, Grant,
    commands::{
        vcpu::{ControlCr, ControlSinglestep, InjectException},
        vm::{PageRule, PauseVcpu, SetPageAccess},
    },
    x86::Exception,
};
use oriel_tests::{
    Vm, scenario,
    tool::{NAME, Tool, on_vcpu, settings},
};

use super::{WRITES, errno, hooked, hooked_by};

fn without(dialect: Dialect, event: EventKind) -> (Vm, Tool) {
    let mut grant = Grant::all();
    grant.events.remove(event);
    let allowed = Settings {
        grant,
        ..settings(dialect)
    };
    hooked_by(candidate(NAME, allowed), &scenario(WRITES))
}

#[test]
fn a_pause_needs_its_event() {
    for dialect in Dialect::ALL {
        let (vm, mut tool) = without(dialect, EventKind::Pause);
        let (vcpu, wait) = (0, true);
        let seq = tool.send(PauseVcpu { vcpu, wait });
        if dialect == Dialect::V7 {
            assert!(tool.is_hung_up_on());
            assert!(tool.ended().contains("not granted"));
        } else {
            assert_eq!(tool.answer_to(seq).1, Err(errno::PERM), "{dialect:?}");
        }
        vm.go(1);
        assert_eq!(vm.wait().outcome.end, End::Finished(0));
    }
}

#[test]
fn a_command_that_arms_an_event_needs_the_event() {
    let enable = true;
    for dialect in Dialect::ALL {
        let (_vm, mut tool) = without(dialect, EventKind::Cr);
        let refused = tool.on(0, ControlCr { cr: 3, enable });
        assert_eq!(refused, Err(errno::PERM), "{dialect:?}");
        let (_vm, mut tool) = without(dialect, EventKind::Page);
        let (gpa, allowed, tag) = (0x6000, oriel_protocol::Access::READ, 0);
        let entries = vec![PageRule { gpa, allowed, tag }];
        let refused = tool.vm(SetPageAccess { view: 0, entries });
        assert_eq!(refused, Err(errno::PERM), "{dialect:?}");
    }
    for dialect in [Dialect::V7, Dialect::V12] {
        let (_vm, mut tool) = without(dialect, EventKind::Singlestep);
        let refused = tool.on(0, ControlSinglestep { enable });
        assert_eq!(refused, Err(errno::PERM), "{dialect:?}");
    }
}

#[test]
fn in_v12_an_injection_needs_the_trap_that_follows_it() {
    let exception = Exception {
        vector: 6,
        error_code: None,
        address: 0,
    };
    for dialect in Dialect::ALL {
        let (_vm, mut tool) = without(dialect, EventKind::Trap);
        let expected = match dialect {
            Dialect::V12 => Err(errno::PERM),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Ok(()),
        };
        let answer = tool.on(0, InjectException { exception });
        assert_eq!(answer, expected, "{dialect:?}");
    }
}

#[test]
fn only_exceptions_are_injected() {
    for dialect in Dialect::ALL {
        let (_vm, mut tool) = hooked(dialect, &scenario(WRITES));
        for vector in [2, 32, 255] {
            let exception = Exception {
                vector,
                error_code: None,
                address: 0,
            };
            let refused = tool.on(0, InjectException { exception });
            assert_eq!(refused, Err(errno::INVAL), "{dialect:?} {vector}");
        }
    }
}

#[test]
fn padding_of_a_pause_is_refused_or_closes_as_the_dialect_has_it() {
    let header = {
        let mut payload = on_vcpu(0, &[1, 0, 0, 0, 0, 0, 0, 0]);
        payload[4] = 1;
        payload
    };
    let command = on_vcpu(0, &[1, 1, 0, 0, 0, 0, 0, 0]);
    for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7] {
        let (_vm, mut tool) = hooked(dialect, &scenario(WRITES));
        assert_eq!(tool.raw(7, &header), Err(errno::INVAL), "{dialect:?}");
        let seq = tool.send_raw(7, &command);
        if dialect == Dialect::V7 {
            assert!(tool.is_hung_up_on());
        } else {
            assert_eq!(tool.answer_to(seq).1, Err(errno::INVAL), "{dialect:?}");
        }
    }
    let (_vm, mut tool) = hooked(Dialect::V12, &scenario(WRITES));
    for payload in [[0, 0, 2, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 1]] {
        assert_eq!(tool.raw(16, &payload), Err(errno::INVAL));
    }
}

#[test]
fn the_version_of_each_dialect_has_its_size() {
    for (dialect, size) in [
        (Dialect::Rfc6, 8),
        (Dialect::V6, 8),
        (Dialect::V7, 16),
        (Dialect::V12, 16),
    ] {
        let (_vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let data = tool.raw(2, &[]).map(|data| data.len());
        assert_eq!(data, Ok(size), "{dialect:?}");
    }
}

#[test]
fn registers_that_are_cut_off_are_refused_in_v12() {
    for dialect in [Dialect::V7, Dialect::V12] {
        let (_vm, mut tool) = hooked(dialect, &scenario(WRITES));
        let (vcpu, wait) = (0, true);
        assert_eq!(tool.vm(PauseVcpu { vcpu, wait }), Ok(()));
        let _ = tool.event_of(EventKind::Pause);
        let (id, expected) = match dialect {
            Dialect::V12 => (9, Err(errno::INVAL)),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => (14, Ok(vec![])),
        };
        assert_eq!(tool.raw_on(id, 0, &[0; 143]), expected, "{dialect:?}");
    }
}
