//! CONTROL_CMD_RESPONSE: what is answered while replies are off.

use super::*;
use crate::{
    commands::{
        VmReply,
        vcpu::{ControlCr, GetVcpuInfo},
        vm::{
            CheckEvent, ControlCommandResponse, ControlVmEvents, GetGuestInfo, GetVersion,
            PauseVcpu, ReadPhysical,
        },
    },
    events::CommandError,
    kvmi::{Action, Body, EventReply},
};

const DIALECTS: [Dialect; 3] = [Dialect::Rfc6, Dialect::V6, Dialect::V7];

const fn switch(enable: bool, now: bool) -> ControlCommandResponse {
    ControlCommandResponse {
        enable,
        now,
        report_errors: false,
    }
}

fn silent(dialect: Dialect) -> Wire {
    silenced(Wire::new(dialect))
}

fn silenced(mut wire: Wire) -> Wire {
    assert!(matches!(
        wire.vm(switch(false, true)),
        Ok(Intake::Answered(None))
    ));
    wire
}

const PAUSE: PauseVcpu = PauseVcpu {
    vcpu: 1,
    wait: true,
};

#[test]
fn a_batch_is_answered_once_at_its_end() {
    for dialect in DIALECTS {
        let mut wire = silent(dialect);
        for _ in 0..2 {
            let Ok(Intake::Vm(ticket, _)) = wire.vm(PAUSE.clone()) else {
                panic!("not taken");
            };
            assert_eq!(ticket.vm(Ok(VmReply::PauseVcpu(()))), Outgoing::Nothing);
        }
        assert_eq!(errno(dialect, wire.vm(switch(true, true))), OK);
        let Ok(Intake::Vm(ticket, _)) = wire.vm(PAUSE.clone()) else {
            panic!("not taken");
        };
        let answer = ticket.vm(Ok(VmReply::PauseVcpu(())));
        assert!(matches!(answer, Outgoing::Message(_)));
    }
}

#[test]
fn without_now_the_rule_holds_from_the_next_command() {
    for dialect in DIALECTS {
        let mut wire = Wire::new(dialect);
        assert_eq!(errno(dialect, wire.vm(switch(false, false))), OK);
        assert!(matches!(
            wire.vm(switch(true, false)),
            Ok(Intake::Answered(None))
        ));
        assert_eq!(errno(dialect, wire.vm(switch(true, false))), OK);
    }
}

#[test]
fn a_ticket_keeps_the_rule_of_its_own_command() {
    let mut wire = Wire::new(Dialect::V7);
    let Ok(Intake::Vm(before, _)) = wire.vm(PAUSE.clone()) else {
        panic!("not taken");
    };
    let mut wire = silenced(wire);
    let Ok(Intake::Vm(after, _)) = wire.vm(PAUSE.clone()) else {
        panic!("not taken");
    };
    assert_eq!(errno(Dialect::V7, wire.vm(switch(true, true))), OK);
    assert_eq!(after.vm(Ok(VmReply::PauseVcpu(()))), Outgoing::Nothing);
    let answer = before.vm(Ok(VmReply::PauseVcpu(())));
    assert!(matches!(answer, Outgoing::Message(_)));
}

#[test]
fn padding_closes() {
    for dialect in DIALECTS {
        // v7 has flags in the first of these bytes.
        let first = if dialect == Dialect::V7 { 3 } else { 2 };
        for at in first..8 {
            let mut wire = Wire::new(dialect);
            let mut payload = [0; 8];
            payload[at] = 2;
            let intake = wire.send(27, &payload);
            assert!(
                matches!(intake, Err(Close::Padding { .. })),
                "{dialect:?} {at}"
            );
        }
    }
}

#[test]
fn a_command_that_returns_data_closes() {
    for dialect in DIALECTS {
        let close = silent(dialect).vm(GetVersion {}).unwrap_err();
        assert_eq!(
            close,
            Close::Silenced {
                command: "get-version"
            }
        );
        let close = silent(dialect).vcpu(GetVcpuInfo {}).unwrap_err();
        assert_eq!(
            close,
            Close::Silenced {
                command: "get-vcpu-info"
            }
        );
    }
}

#[test]
fn errors_are_dropped() {
    for dialect in DIALECTS {
        let mut wire = silent(dialect);
        let bad = ReadPhysical { gpa: 0, length: 0 };
        assert!(matches!(wire.vm(bad), Ok(Intake::Answered(None))));
        let bad = ControlCr {
            cr: 1,
            enable: true,
        };
        assert!(matches!(wire.vcpu(bad), Ok(Intake::Answered(None))));
        let Ok(Intake::Vm(ticket, _)) = wire.vm(PAUSE.clone()) else {
            panic!("not taken");
        };
        assert_eq!(ticket.vm(Err(Refusal::Busy)), Outgoing::Nothing);
        let event = EventKind::Cr;
        assert!(matches!(
            wire.vm(CheckEvent { event }),
            Ok(Intake::Answered(None))
        ));
    }
}

#[test]
fn an_unknown_id_is_answered_all_the_same_but_closes_in_v7() {
    for dialect in [Dialect::Rfc6, Dialect::V6] {
        assert_eq!(errno(dialect, silent(dialect).send(12, &[])), OPNOTSUPP);
    }
    let close = silent(Dialect::V7).send(12, &[]).unwrap_err();
    assert_eq!(close, Close::UnknownWhileSilent { id: 12 });
}

#[test]
fn a_command_that_is_not_granted_is_answered_all_the_same_but_closes_in_v7() {
    let wire = |dialect| {
        let switch = CommandId::by_name("control-cmd-response").unwrap();
        let grant = Grant {
            commands: [switch].into_iter().collect(),
            ..Grant::all()
        };
        silenced(Wire::granted(dialect, grant))
    };
    for dialect in [Dialect::Rfc6, Dialect::V6] {
        assert_eq!(errno(dialect, wire(dialect).vm(GetGuestInfo {})), PERM);
    }
    let close = wire(Dialect::V7).vm(GetGuestInfo {}).unwrap_err();
    assert!(matches!(close, Close::DeniedWhileSilent { .. }), "{close}");
}

#[test]
fn a_pause_that_is_not_granted_is_answered_all_the_same() {
    for dialect in [Dialect::Rfc6, Dialect::V6] {
        let mut wire = silenced(Wire::without_event(dialect, EventKind::Pause));
        assert_eq!(errno(dialect, wire.vm(PAUSE.clone())), PERM);
    }
}

#[test]
fn v7_reports_errors_as_events_if_asked() {
    let mut wire = Wire::new(Dialect::V7);
    let ask = ControlCommandResponse {
        enable: false,
        now: true,
        report_errors: true,
    };
    assert!(matches!(wire.vm(ask), Ok(Intake::Answered(None))));
    let report = |id, error| CommandError { error, seq: 7, id };
    let bad = ReadPhysical { gpa: 0, length: 0 };
    let intake = wire.vm(bad);
    let Ok(Intake::Reported(error)) = intake else {
        panic!("{intake:?}");
    };
    assert_eq!(error, report(17, INVAL));
    let Ok(Intake::Vm(ticket, _)) = wire.vm(PAUSE.clone()) else {
        panic!("not taken");
    };
    assert_eq!(
        ticket.vm(Err(Refusal::Busy)),
        Outgoing::CommandError(report(7, Refusal::Busy.errno()))
    );
    let good = ControlVmEvents {
        event: EventKind::Unhook,
        enable: true,
    };
    let Ok(Intake::Vm(ticket, _)) = wire.vm(good) else {
        panic!("not taken");
    };
    assert_eq!(
        ticket.vm(Ok(VmReply::ControlVmEvents(()))),
        Outgoing::Nothing
    );
}

#[test]
fn errors_are_no_events_where_that_event_is_not_granted() {
    let mut wire = Wire::without_event(Dialect::V7, EventKind::CommandError);
    let ask = |enable| ControlCommandResponse {
        enable,
        now: true,
        report_errors: true,
    };
    assert_eq!(
        errno(Dialect::V7, wire.vm(ask(true))),
        OK,
        "replies stay on"
    );
    let close = wire.vm(ask(false)).unwrap_err();
    assert!(matches!(close, Close::EventDenied { .. }), "{close}");
}

#[test]
fn replies_to_events_are_taken_in_silence() {
    let mut wire = silent(Dialect::V7);
    wire.pending.announce(0, 3, EventKind::Cr);
    let reply = EventReply {
        action: Action::Continue,
        body: Body::Value(1),
    };
    let message = tool::answer(Dialect::V7, 0, 3, EventKind::Cr, &reply).unwrap();
    assert!(matches!(wire.message(&message), Ok(Intake::Verdict { .. })));
}
