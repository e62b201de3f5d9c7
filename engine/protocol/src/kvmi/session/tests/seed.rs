//! The rules of rfc6 that everything began with.

use super::*;
use crate::{
    commands::{
        VmReply,
        vcpu::GetVcpuInfo,
        vm::{GetGuestInfo, ReadPhysical},
    },
    events::Pause,
    kvmi::{Action, Body, EventReply, ReplyFlaw, Snapshot, event},
};

const RFC6: Dialect = Dialect::Rfc6;

fn reply(seq: u32, vcpu: u16, kind: EventKind) -> Vec<u8> {
    let reply = EventReply {
        action: Action::Continue,
        body: Body::None,
    };
    tool::answer(RFC6, vcpu, seq, kind, &reply).unwrap()
}

#[test]
fn what_is_received_has_at_most_4088_bytes() {
    let mut wire = Wire::new(RFC6);
    let write = wire.number("write-physical");
    let mut payload = [0; 4088];
    payload[8..10].copy_from_slice(&4072_u16.to_le_bytes());
    assert!(matches!(wire.send(write, &payload), Ok(Intake::Vm(..))));
    let longer = wire.send(write, &[0; 4089]);
    let Err(Close::TooLong {
        size: 4089,
        limit: 4088,
        ..
    }) = longer
    else {
        panic!("{longer:?}");
    };
}

#[test]
fn a_reply_may_be_longer_than_what_is_received() {
    let mut wire = Wire::new(RFC6);
    let request = ReadPhysical {
        gpa: 0x1000,
        length: 4096,
    };
    let Ok(Intake::Vm(ticket, _)) = wire.vm(request) else {
        panic!("not taken");
    };
    let outgoing = ticket.vm(Ok(VmReply::ReadPhysical(vec![1; 4096])));
    let Outgoing::Message(message) = outgoing else {
        panic!("{outgoing:?}");
    };
    assert_eq!(message.len(), HEADER + 4104);
}

#[test]
fn an_unknown_id_is_consumed_and_not_supported() {
    let mut wire = Wire::new(RFC6);
    for id in [1, 12, 28, 29, 30, 63, 64, 0xffff] {
        for length in [0, 1, 4088] {
            let payload = vec![0xff; length];
            assert_eq!(errno(RFC6, wire.send(id, &payload)), OPNOTSUPP, "{id}");
        }
    }
    let info = wire.vm(GetGuestInfo {});
    assert!(matches!(info, Ok(Intake::Vm(..))), "the stream goes on");
}

#[test]
fn unsupported_is_tested_before_allowed() {
    let mut none = Wire::without_commands(RFC6);
    let mut all = Wire::new(RFC6);
    for wire in [&mut none, &mut all] {
        assert_eq!(errno(RFC6, wire.send(12, &[])), OPNOTSUPP);
    }
}

#[test]
fn a_command_that_is_not_allowed_is_not_permitted() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::without_commands(dialect);
        for id in CommandId::all() {
            let Some(number) = id.numbers().of(dialect) else {
                continue;
            };
            let always = ["get-version", "check-command", "check-event"];
            if always.contains(&id.name()) {
                continue;
            }
            let intake = wire.send(number, &[0xff; 24]);
            let Ok(Intake::Refused { command, .. }) = &intake else {
                panic!("{dialect:?} {}: {intake:?}", id.name());
            };
            assert_eq!(*command, id);
            assert_eq!(errno(dialect, intake), PERM);
        }
    }
}

#[test]
fn replies_to_events_pass_whatever_the_mask() {
    let mut wire = Wire::granted(RFC6, Grant::default());
    wire.pending.announce(1, 9, EventKind::Pause);
    let intake = wire.message(&reply(9, 1, EventKind::Pause));
    let Ok(Intake::Verdict {
        vcpu: 1,
        seq: 9,
        kind: EventKind::Pause,
        ..
    }) = intake
    else {
        panic!("{intake:?}");
    };
}

#[test]
fn an_error_carries_no_data() {
    for dialect in Dialect::ALL {
        for refusal in Refusal::ALL {
            let mut wire = Wire::new(dialect);
            let intake = wire.vm(GetGuestInfo {});
            assert_eq!(refused(dialect, intake, refusal), refusal.errno());
            let intake = wire.vcpu(GetVcpuInfo {});
            assert_eq!(refused(dialect, intake, refusal), refusal.errno());
        }
    }
}

#[test]
fn an_event_and_a_command_cross_on_the_wire() {
    let mut wire = Wire::new(RFC6);
    let Ok(Intake::Vcpu(ticket, 1, call)) = wire.vcpu(GetVcpuInfo {}) else {
        panic!("not taken");
    };
    wire.pending.announce(1, 0, EventKind::Pause);
    let sent = event::encode(RFC6, 0, 1, &Snapshot::default(), &Pause {}.into());
    assert!(sent.is_some());
    let intake = wire.vm(GetGuestInfo {});
    assert!(matches!(intake, Ok(Intake::Vm(..))));
    let intake = wire.message(&reply(0, 1, EventKind::Pause));
    assert!(matches!(intake, Ok(Intake::Verdict { seq: 0, .. })));
    assert_eq!(call, GetVcpuInfo {}.into_call());
    let Outgoing::Message(message) = ticket.vcpu(Ok(crate::commands::VcpuReply::GetVcpuInfo(5)))
    else {
        panic!("not answered");
    };
    assert_eq!(read(RFC6, &message), (OK, 5_u64.to_le_bytes().to_vec()));
}

#[test]
fn a_reply_to_an_event_with_nothing_pending_closes() {
    let mut wire = Wire::new(RFC6);
    let close = wire.message(&reply(1, 0, EventKind::Pause)).unwrap_err();
    let Close::EventReply {
        seq: 1,
        vcpu: 0,
        flaw: ReplyFlaw::NothingPending,
    } = close
    else {
        panic!("{close:?}");
    };
}

#[test]
fn a_short_read_closes() {
    let mut wire = Wire::new(RFC6);
    let header = Header {
        id: 2,
        size: 8,
        seq: 7,
    };
    let close = wire.session.receive(header, &[0; 7]).unwrap_err();
    assert!(
        matches!(
            close,
            Close::Torn {
                size: 8,
                had: 7,
                ..
            }
        ),
        "{close}"
    );
}

#[test]
fn after_the_first_error_nothing_is_taken_in() {
    let mut wire = Wire::new(RFC6);
    assert!(wire.send(2, &[0; 4089]).is_err());
    assert_eq!(wire.send(2, &[]).unwrap_err(), Close::Over);
}

#[test]
fn a_reply_has_the_id_and_the_number_of_its_command() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        let sent = tool::command_vm(dialect, 0xdead_beef, &GetGuestInfo {}.into_call()).unwrap();
        let Ok(Intake::Vm(ticket, _)) = wire.message(&sent) else {
            panic!("not taken");
        };
        let Outgoing::Message(message) = ticket.vm(Ok(VmReply::GetGuestInfo(2))) else {
            panic!("not answered");
        };
        assert_eq!(message[..2], sent[..2]);
        assert_eq!(message[4..8], 0xdead_beef_u32.to_le_bytes());
    }
}
