//! What is looked at first, and what the grant and the vCPU header decide.

use super::*;
use crate::{
    commands::{
        VcpuReply, VmReply,
        vcpu::{GetRegisters, GetVcpuInfo, Registers, TranslateGva},
        vm::{CheckCommand, CheckEvent, GetVersion, PauseVcpu},
    },
    kvmi::ReplyFlaw,
};

#[test]
fn an_unknown_id_has_the_errno_of_its_dialect() {
    let expected = [OPNOTSUPP, OPNOTSUPP, NOSYS, NOSYS];
    for (dialect, expected) in Dialect::ALL.into_iter().zip(expected) {
        let mut wire = Wire::new(dialect);
        for id in 0..=u16::MAX {
            if CommandId::of(dialect, id).is_none() && id != dialect.event_reply() {
                assert_eq!(
                    errno(dialect, wire.send(id, &[])),
                    expected,
                    "{dialect:?} {id}"
                );
            }
        }
    }
}

#[test]
fn three_questions_are_always_answered() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::granted(dialect, Grant::default());
        assert!(matches!(wire.vm(GetVersion {}), Ok(Intake::Vm(..))));
        let command = CommandId::by_name("get-version").unwrap();
        assert_eq!(errno(dialect, wire.vm(CheckCommand { command })), OK);
        let command = CommandId::by_name("read-physical").unwrap();
        assert_eq!(errno(dialect, wire.vm(CheckCommand { command })), PERM);
        let event = EventKind::Cr;
        assert_eq!(errno(dialect, wire.vm(CheckEvent { event })), PERM);
    }
}

#[test]
fn a_check_answers_from_the_grant_alone() {
    for dialect in Dialect::ALL {
        let unknown = if dialect == Dialect::V12 {
            NOENT
        } else {
            INVAL
        };
        let mut wire = Wire::new(dialect);
        let (command, event) = (wire.number("check-command"), wire.number("check-event"));
        for number in 0..=u16::MAX {
            let mut payload = [0; 8];
            payload[..2].copy_from_slice(&number.to_le_bytes());
            let is_reply = number == dialect.event_reply() && dialect != Dialect::V12;
            let known = CommandId::of(dialect, number).is_some() || is_reply;
            let expected = if known { OK } else { unknown };
            assert_eq!(
                errno(dialect, wire.send(command, &payload)),
                expected,
                "{number}"
            );
            let known = EventKind::of(dialect, number).is_some();
            let expected = if known { OK } else { unknown };
            assert_eq!(
                errno(dialect, wire.send(event, &payload)),
                expected,
                "{number}"
            );
        }
        for at in 2..8 {
            let mut payload = [0; 8];
            payload[0] = 2;
            payload[at] = 1;
            assert_eq!(errno(dialect, wire.send(command, &payload)), INVAL);
            assert_eq!(errno(dialect, wire.send(event, &payload)), INVAL);
        }
    }
}

#[test]
fn padding_in_the_vcpu_header_closes_and_is_invalid_in_v12() {
    for dialect in Dialect::ALL {
        for at in 2..8 {
            let mut wire = Wire::new(dialect);
            let mut payload = [0; 8];
            payload[at] = 1;
            let intake = wire.send(wire.number("get-vcpu-info"), &payload);
            match dialect {
                Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => {
                    assert!(matches!(intake, Err(Close::Padding { .. })), "{intake:?}");
                }
                Dialect::V12 => assert_eq!(errno(dialect, intake), INVAL),
            }
        }
    }
}

#[test]
fn a_vcpu_that_does_not_exist_is_invalid() {
    for dialect in Dialect::ALL {
        for vcpu in [2, 3, u16::MAX] {
            let mut wire = Wire::new(dialect);
            let message =
                tool::command_vcpu(dialect, 7, vcpu, &GetVcpuInfo {}.into_call()).unwrap();
            assert_eq!(errno(dialect, wire.message(&message)), INVAL);
            let pause = PauseVcpu {
                vcpu: vcpu.into(),
                wait: false,
            };
            assert_eq!(errno(dialect, wire.vm(pause)), INVAL);
        }
    }
}

#[test]
fn a_pause_is_the_receivers_work_though_it_names_a_vcpu() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::new(dialect);
        let pause = PauseVcpu {
            vcpu: 1,
            wait: true,
        };
        let intake = wire.vm(pause.clone());
        let Ok(Intake::Vm(_, call)) = intake else {
            panic!("{intake:?}");
        };
        assert_eq!(call, pause.into_call());
    }
}

#[test]
fn a_pause_needs_its_event() {
    for dialect in Dialect::ALL {
        let mut wire = Wire::without_event(dialect, EventKind::Pause);
        let intake = wire.vm(PauseVcpu {
            vcpu: 1,
            wait: true,
        });
        match dialect {
            Dialect::V7 => assert!(matches!(intake, Err(Close::EventDenied { .. }))),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 => {
                assert!(matches!(intake, Ok(Intake::Refused { .. })));
                assert_eq!(errno(dialect, intake), PERM);
            }
        }
    }
}

#[test]
fn a_short_request_is_extended_with_zeros_and_a_long_one_cut() {
    let mut wire = Wire::new(Dialect::V7);
    let id = wire.number("translate-gva");
    for (payload, gva) in [
        (&[1, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd][..], 0xcdab),
        (&[1][..], 0),
        (
            &[1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9][..],
            0x0807_0605_0403_0201,
        ),
    ] {
        let intake = wire.send(id, payload);
        let Ok(Intake::Vcpu(_, 1, call)) = intake else {
            panic!("{intake:?}");
        };
        assert_eq!(call, TranslateGva { gva }.into_call());
    }
}

#[test]
fn an_address_that_maps_to_nothing_translates_to_all_ones() {
    for dialect in [Dialect::V7, Dialect::V12] {
        let mut wire = Wire::new(dialect);
        let Ok(Intake::Vcpu(ticket, ..)) = wire.vcpu(TranslateGva { gva: u64::MAX }) else {
            panic!("not taken");
        };
        let Outgoing::Message(message) = ticket.vcpu(Err(Refusal::NotFound)) else {
            panic!("not answered");
        };
        assert_eq!(read(dialect, &message), (OK, vec![0xff; 8]));
    }
}

#[test]
fn an_answer_of_another_size_than_the_tool_insists_on_becomes_an_error() {
    let mut wire = Wire::new(Dialect::V7);
    let Ok(Intake::Vcpu(ticket, ..)) = wire.vcpu(GetRegisters { msrs: vec![1, 2] }) else {
        panic!("not taken");
    };
    let fewer = Registers {
        msrs: vec![(1, 1)],
        ..Registers::default()
    };
    let outgoing = ticket.vcpu(Ok(VcpuReply::GetRegisters(Box::new(fewer))));
    let Outgoing::Message(message) = outgoing else {
        panic!("{outgoing:?}");
    };
    assert_eq!(read(Dialect::V7, &message), (INVAL, vec![]));
}

#[test]
fn v12_names_its_own_limit_whoever_answers() {
    let mut wire = Wire::new(Dialect::V12);
    let Ok(Intake::Vm(ticket, _)) = wire.vm(GetVersion {}) else {
        panic!("not taken");
    };
    let Outgoing::Message(message) = ticket.vm(Ok(VmReply::GetVersion(Default::default()))) else {
        panic!("not answered");
    };
    let (_, data) = read(Dialect::V12, &message);
    assert_eq!(data[4..8], 8184_u32.to_le_bytes());
    assert_eq!(tool::dialect_of_version(&data), Some(Dialect::V12));
}

#[test]
fn every_close_says_why() {
    let closes = [
        Close::Over,
        Close::Padding { command: "x" },
        Close::Silenced { command: "x" },
        Close::EventReply {
            seq: 1,
            vcpu: 2,
            flaw: ReplyFlaw::NothingPending,
        },
    ];
    for close in closes {
        assert!(close.to_string().len() > 10, "{close:?}");
    }
}
