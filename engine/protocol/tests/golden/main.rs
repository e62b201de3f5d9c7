//! The bytes of every row and event of the tables, against files that were not written by the
//! codec. A row with a number in a dialect must have its lines there; a line that no row asks for
//! is an error as well.

mod lines;
mod samples;

use std::sync::Arc;

use lines::Lines;
use oriel_protocol::{
    Dialect, EventKind, Grant, VcpuCall, VmCall,
    commands::{VcpuId, VmId},
    kvmi::{
        Intake, Outgoing, Pending, Session,
        bytes::{Reader, Writer},
        event,
        frame::{HEADER, Header, VCPU_HEADER},
        handshake::{Answer, Hello},
        tool::{self, Incoming},
    },
};
use samples::{SEQ, VCPU};

/// The header and the payload of a whole message.
fn split(message: &[u8]) -> (Header, &[u8]) {
    let (header, payload) = message
        .split_first_chunk::<HEADER>()
        .expect("a whole header");
    let header = Header::read(*header);
    assert_eq!(usize::from(header.size), payload.len());
    (header, payload)
}

fn receive(dialect: Dialect, message: &[u8], pending: Pending) -> Intake {
    let (header, payload) = split(message);
    let mut session = Session::new(dialect, Grant::all(), 4, Arc::new(pending));
    session
        .receive(header, payload)
        .expect("an open connection")
}

/// A session that understands a request takes the reply, and sends these bytes.
fn answered(intake: Intake, reply: samples::Reply, request: &samples::Request) -> Vec<u8> {
    let outgoing = match (intake, reply) {
        (Intake::Vm(ticket, call), samples::Reply::Vm(reply)) => {
            assert_eq!(samples::Request::Vm(call), *request);
            ticket.vm(Ok(reply))
        }
        (Intake::Vcpu(ticket, vcpu, call), samples::Reply::Vcpu(reply)) => {
            assert_eq!(vcpu, u32::from(VCPU));
            assert_eq!(samples::Request::Vcpu(call), *request);
            ticket.vcpu(Ok(reply))
        }
        (Intake::Answered(Some(message)), _) => Outgoing::Message(message),
        (intake, _) => panic!("{intake:?}"),
    };
    match outgoing {
        Outgoing::Message(message) => message,
        Outgoing::CommandError(_) | Outgoing::Nothing => panic!("{outgoing:?}"),
    }
}

#[test]
fn every_vm_command_has_its_bytes_in_both_directions() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for &id in VmId::ALL {
            if id.numbers().of(dialect).is_none() {
                lines.has_none(id.name());
                continue;
            }
            let what = format!("{} {}", dialect.name(), id.name());
            let (call, reply) = samples::vm(id, dialect).unwrap_or_else(|| panic!("{what}"));
            let request = lines.take("request", id.name());
            assert_eq!(
                tool::command_vm(dialect, SEQ, &call).unwrap(),
                request,
                "{what}"
            );
            let decoded = samples::decode_vm(id, dialect, &request[HEADER..]);
            assert_eq!(decoded, call, "{what}");

            let golden = lines.take("reply", id.name());
            let intake = receive(dialect, &request, Pending::new(4));
            let sent = answered(intake, reply.clone().into(), &call.into());
            assert_eq!(sent, golden, "{what}");
            let data = data_of(dialect, &golden);
            let decoded = samples::decode_vm_reply(id, dialect, &data);
            assert_eq!(decoded, reply, "{what}");
            assert_eq!(!data.is_empty(), id.returns_data(), "{what}");
        }
    }
}

#[test]
fn every_vcpu_command_has_its_bytes_in_both_directions() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for &id in VcpuId::ALL {
            if id.numbers().of(dialect).is_none() {
                lines.has_none(id.name());
                continue;
            }
            let what = format!("{} {}", dialect.name(), id.name());
            let (call, reply) = samples::vcpu(id).unwrap_or_else(|| panic!("{what}"));
            let request = lines.take("request", id.name());
            let sent = tool::command_vcpu(dialect, SEQ, VCPU, &call).unwrap();
            assert_eq!(sent, request, "{what}");
            let decoded = samples::decode_vcpu(id, dialect, &request[HEADER + VCPU_HEADER..]);
            assert_eq!(decoded, call, "{what}");

            let golden = lines.take("reply", id.name());
            let intake = receive(dialect, &request, Pending::new(4));
            let sent = answered(intake, reply.clone().into(), &call.into());
            assert_eq!(sent, golden, "{what}");
            let data = data_of(dialect, &golden);
            let decoded = samples::decode_vcpu_reply(id, dialect, &data);
            assert_eq!(decoded, reply, "{what}");
            assert_eq!(!data.is_empty(), id.returns_data(), "{what}");
        }
    }
}

/// The data of a reply, as a tool reads it.
fn data_of(dialect: Dialect, message: &[u8]) -> Vec<u8> {
    let (header, payload) = split(message);
    let incoming = tool::incoming(dialect, &header, payload).expect("a good reply");
    let Incoming::Reply {
        seq, error, data, ..
    } = incoming
    else {
        panic!("{incoming:?}");
    };
    assert_eq!((seq, error), (SEQ, 0));
    data
}

#[test]
fn every_event_has_its_bytes_in_both_directions() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for &kind in EventKind::ALL {
            let what = format!("{} {}", dialect.name(), kind.name());
            let snapshot = samples::snapshot(dialect);
            let Some((data, expected)) = samples::event(kind, dialect) else {
                assert!(kind.numbers().is_ours(), "{what} has no sample");
                continue;
            };
            let sent = event::encode(dialect, SEQ, VCPU, &snapshot, &data);
            assert_eq!(
                sent.is_some(),
                kind.numbers().of(dialect).is_some(),
                "{what}"
            );
            let Some(sent) = sent else {
                lines.has_none(kind.name());
                continue;
            };
            let golden = lines.take("event", kind.name());
            assert_eq!(sent, golden, "{what}");
            let (header, payload) = split(&golden);
            let Incoming::Event(received) = tool::incoming(dialect, &header, payload).unwrap()
            else {
                panic!("{what} is no event");
            };
            assert_eq!(received.seq, SEQ);
            assert_eq!(received.data, expected, "{what}");
            if event::is_of_vm(kind) {
                assert_eq!(
                    (received.vcpu, received.snapshot),
                    (0, Default::default()),
                    "{what}"
                );
            } else {
                assert_eq!(
                    (received.vcpu, received.snapshot),
                    (VCPU, snapshot),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn every_reply_to_an_event_has_its_bytes_in_both_directions() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for &kind in EventKind::ALL {
            let what = format!("{} {}", dialect.name(), kind.name());
            let sample = samples::event_reply(kind, dialect);
            let sent = tool::answer(dialect, VCPU, SEQ, kind, &sample);
            let expected = kind.numbers().of(dialect).is_some() && !event::is_of_vm(kind);
            assert_eq!(sent.is_some(), expected, "{what}");
            let Some(sent) = sent else { continue };
            let golden = lines.take("event-reply", kind.name());
            assert_eq!(sent, golden, "{what}");
            let pending = Pending::new(4);
            pending.announce(VCPU.into(), SEQ, kind);
            let intake = receive(dialect, &golden, pending);
            let Intake::Verdict {
                vcpu,
                seq,
                kind: of,
                reply,
            } = intake
            else {
                panic!("{what}: {intake:?}");
            };
            assert_eq!((vcpu, seq, of), (VCPU.into(), SEQ, kind), "{what}");
            assert_eq!(reply, sample, "{what}");
        }
    }
}

/// Whether a request is read at all, and as what; by the row's name.
fn read_request(dialect: Dialect, name: &str, payload: &[u8]) -> Option<samples::Request> {
    let mut from = Reader::new(dialect, payload);
    if let Some(&id) = VmId::ALL.iter().find(|id| id.name() == name) {
        return VmCall::decode(id, &mut from).ok().map(Into::into);
    }
    let &id = VcpuId::ALL.iter().find(|id| id.name() == name)?;
    from.skip(VCPU_HEADER);
    VcpuCall::decode(id, &mut from).ok().map(Into::into)
}

#[test]
fn no_byte_of_a_request_is_passed_over() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for (_, name) in lines
            .names()
            .into_iter()
            .filter(|(kind, _)| *kind == "request")
        {
            let message = lines.take("request", name);
            let payload = &message[HEADER..];
            let good = read_request(dialect, name, payload);
            assert!(good.is_some());
            let vcpu = VcpuId::ALL.iter().any(|id| id.name() == name);
            let first = if vcpu { VCPU_HEADER } else { 0 };
            for at in first..payload.len() {
                // Whether a vector has an error code, the vector says.
                let old = matches!(dialect, Dialect::Rfc6 | Dialect::V6);
                if old && name == "inject-exception" && at == VCPU_HEADER + 1 {
                    continue;
                }
                let mut changed = payload.to_vec();
                changed[at] ^= 1;
                let read = read_request(dialect, name, &changed);
                assert_ne!(read, good, "{} {name} byte {at}", dialect.name());
            }
        }
    }
}

#[test]
fn no_byte_of_a_reply_to_an_event_is_passed_over() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        for &kind in EventKind::ALL {
            if kind.numbers().of(dialect).is_none() || event::is_of_vm(kind) {
                continue;
            }
            let good = samples::event_reply(kind, dialect);
            let message = lines.take("event-reply", kind.name());
            // Of the bytes for the emulator, 4 are given.
            for at in HEADER..message.len().min(HEADER + 16 + 16 + 4) {
                // Which event it names: v12 alone compares it.
                if at == HEADER + 9 && dialect != Dialect::V12 {
                    continue;
                }
                let mut changed = message.clone();
                changed[at] ^= 1;
                let pending = Arc::new(Pending::new(4));
                pending.announce(VCPU.into(), SEQ, kind);
                let (header, payload) = split(&changed);
                let mut session = Session::new(dialect, Grant::all(), 4, pending);
                if let Ok(Intake::Verdict { reply, .. }) = session.receive(header, payload) {
                    assert_ne!(reply, good, "{} {kind:?} byte {at}", dialect.name());
                }
            }
        }
    }
}

#[test]
fn the_handshake_has_its_bytes_in_both_directions() {
    for dialect in Dialect::ALL {
        let lines = Lines::of(dialect);
        let hello = samples::hello(dialect);
        let golden = lines.take("handshake", "hello");
        assert_eq!(hello.write(dialect), golden);
        assert_eq!(Hello::read(&golden).hello, hello);
        let golden = lines.take("handshake", "answer");
        assert_eq!(samples::ANSWER.write(), golden);
        assert_eq!(Answer::read(&golden), samples::ANSWER);
    }
}

#[test]
fn no_line_is_for_nobody() {
    for dialect in Dialect::ALL {
        let commands = |kind: &'static str| {
            let vm = VmId::ALL.iter().map(|id| (id.name(), id.numbers()));
            let vcpu = VcpuId::ALL.iter().map(|id| (id.name(), id.numbers()));
            let rows = vm.chain(vcpu).collect::<Vec<_>>().into_iter();
            let spoken = rows.filter(move |(_, numbers)| numbers.of(dialect).is_some());
            spoken.map(move |(name, _)| (kind, name))
        };
        let events = |kind: &'static str| {
            let spoken = EventKind::ALL
                .iter()
                .filter(move |row| row.numbers().of(dialect).is_some());
            spoken.map(move |row| (kind, row.name(), *row))
        };
        let mut expected: Vec<_> = commands("request").chain(commands("reply")).collect();
        expected.extend(events("event").map(|(kind, name, _)| (kind, name)));
        let answered = events("event-reply").filter(|(.., row)| !event::is_of_vm(*row));
        expected.extend(answered.map(|(kind, name, _)| (kind, name)));
        expected.extend([("handshake", "hello"), ("handshake", "answer")]);
        expected.sort_unstable();
        let lines = Lines::of(dialect);
        assert_eq!(lines.names(), expected, "{}", dialect.name());
    }
}

#[test]
fn an_older_change_of_a_frame_has_no_view() {
    let mut to = Writer::new(Dialect::V7);
    to.words(&[0x10, 0x20]);
    let bytes = to.into_bytes();
    let mut from = Reader::new(Dialect::V7, &bytes);
    let call = VcpuCall::decode(VcpuId::ChangeGfn, &mut from).unwrap();
    let expected = oriel_protocol::commands::vcpu::ChangeGfn {
        view: 0,
        old: 0x10,
        new: 0x20,
    };
    assert_eq!(call, VcpuCall::ChangeGfn(expected));
}
