//! Whatever a tool sends: no panic, and each command that is accepted has one ticket.

use proptest::prelude::*;

use super::*;
use crate::{
    commands::{VcpuId, VcpuReply, VmId, VmReply},
    kvmi::{bytes::Writer, event},
};

/// Bytes that are mostly zero, so that padding and counts come out right now and then.
fn mostly_zero(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => Just(0), 2 => 0..4_u8, 1 => any::<u8>()];
    prop::collection::vec(byte, 0..most)
}

fn dialects() -> impl Strategy<Value = Dialect> {
    prop::sample::select(&Dialect::ALL[..])
}

/// What a session may answer a frame with, and no more than one thing of it.
fn is_answered_once(dialect: Dialect, intake: Result<Intake, Close>) {
    let outgoing = match intake {
        Ok(Intake::Vm(ticket, call)) => {
            assert_eq!(ticket.command(), CommandId::Vm(call.id()));
            ticket.vm(Err(Refusal::Busy))
        }
        Ok(Intake::Vcpu(ticket, vcpu, call)) => {
            assert!(vcpu < 2);
            assert_eq!(ticket.command(), CommandId::Vcpu(call.id()));
            ticket.error(Errno::AGAIN)
        }
        Ok(Intake::Answered(Some(message))) => Outgoing::Message(message),
        Ok(Intake::Refused { answer, .. }) => Outgoing::Message(answer.unwrap()),
        Ok(Intake::Answered(None) | Intake::Reported(_) | Intake::Verdict { .. }) => return,
        Err(close) => return assert!(!close.to_string().is_empty()),
    };
    if let Outgoing::Message(message) = outgoing {
        read(dialect, &message);
    }
}

#[test]
fn every_id_at_every_length_is_met_with_an_answer_or_a_close() {
    for dialect in Dialect::ALL {
        let limit = dialect.max_received();
        for fill in [0, 0xff] {
            let payload = vec![fill; limit + 1];
            for id in 0..=u16::MAX {
                let known = id == dialect.event_reply() || CommandId::of(dialect, id).is_some();
                let lengths = if known { 0..limit + 2 } else { 0..2 };
                for length in lengths {
                    let mut wire = Wire::new(dialect);
                    wire.pending.announce(0, 7, EventKind::Page);
                    let intake = wire.send(id, &payload[..length]);
                    assert!(length <= limit || intake.is_err());
                    is_answered_once(dialect, intake);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_frames_are_met_with_answers_until_a_close(
        dialect in dialects(),
        frames in prop::collection::vec((0..70_u16, mostly_zero(64)), 0..40),
        waiting in prop::option::of(prop::sample::select(EventKind::ALL)),
    ) {
        let mut wire = Wire::new(dialect);
        if let Some(kind) = waiting {
            wire.pending.announce(0, 7, kind);
        }
        let mut over = false;
        for (id, payload) in frames {
            let intake = wire.send(id, &payload);
            if over {
                prop_assert_eq!(intake.unwrap_err(), Close::Over);
                continue;
            }
            over = intake.is_err();
            is_answered_once(dialect, intake);
        }
        let _ = wire.session.suspicion();
    }

    #[test]
    fn any_ids_and_bytes_are_met_with_an_answer_or_a_close(
        dialect in dialects(),
        id in any::<u16>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut wire = Wire::new(dialect);
        let intake = wire.send(id, &payload);
        is_answered_once(dialect, intake);
    }

    #[test]
    fn what_is_read_of_a_vm_request_is_what_is_written_of_it(
        dialect in dialects(),
        id in prop::sample::select(VmId::ALL),
        payload in mostly_zero(120),
    ) {
        let Ok(call) = VmCall::decode(id, &mut Reader::new(dialect, &payload)) else {
            return Ok(());
        };
        let mut to = Writer::new(dialect);
        call.encode(&mut to);
        let again = VmCall::decode(id, &mut Reader::new(dialect, &to.into_bytes()));
        prop_assert_eq!(again, Ok(call));
    }

    #[test]
    fn what_is_read_of_a_vcpu_request_is_what_is_written_of_it(
        dialect in dialects(),
        id in prop::sample::select(VcpuId::ALL),
        payload in mostly_zero(200),
    ) {
        let Ok(call) = VcpuCall::decode(id, &mut Reader::new(dialect, &payload)) else {
            return Ok(());
        };
        let mut to = Writer::new(dialect);
        call.encode(&mut to);
        let again = VcpuCall::decode(id, &mut Reader::new(dialect, &to.into_bytes()));
        prop_assert_eq!(again, Ok(call));
    }

    #[test]
    fn what_is_read_of_an_answer_is_what_is_written_of_it(
        dialect in dialects(),
        vm in prop::sample::select(VmId::ALL),
        vcpu in prop::sample::select(VcpuId::ALL),
        data in mostly_zero(600),
    ) {
        // The codec itself fills in the limit of v12, and the area up to a page.
        if let Ok(reply) = VmReply::decode(vm, &mut Reader::new(dialect, &data))
            && vm != VmId::GetVersion
        {
            let mut to = Writer::new(dialect);
            reply.encode(&mut to);
            let again = VmReply::decode(vm, &mut Reader::new(dialect, &to.into_bytes()));
            prop_assert_eq!(again, Ok(reply));
        }
        if let Ok(reply) = VcpuReply::decode(vcpu, &mut Reader::new(dialect, &data))
            && vcpu != VcpuId::GetXsave
        {
            let mut to = Writer::new(dialect);
            reply.encode(&mut to);
            let again = VcpuReply::decode(vcpu, &mut Reader::new(dialect, &to.into_bytes()));
            prop_assert_eq!(again, Ok(reply));
        }
    }

    #[test]
    fn what_a_tool_reads_of_an_event_is_what_is_written_of_it(
        dialect in dialects(),
        number in 0..20_u8,
        size in prop_oneof![Just(544_u16), 0..700_u16],
        mut payload in mostly_zero(700),
    ) {
        let header = Header { id: 1, size: 0, seq: 3 };
        let (of_size, of_number) = if dialect == Dialect::V12 { (8, 0) } else { (0, 4) };
        payload.resize(payload.len().max(16), 0);
        payload[of_size..of_size + 2].copy_from_slice(&size.to_le_bytes());
        payload[of_number] = number;
        let Ok(received) = event::decode(dialect, &header, &payload) else {
            return Ok(());
        };
        let event::Received { seq, vcpu, snapshot, data } = &received;
        let sent = event::encode(dialect, *seq, *vcpu, snapshot, data).unwrap();
        let again = event::decode(dialect, &header, &sent[HEADER..]).unwrap();
        if event::is_of_vm(data.kind()) {
            prop_assert_eq!(again.data, *data);
        } else {
            prop_assert_eq!(again, received);
        }
    }
}
