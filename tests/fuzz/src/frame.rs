//! A stream that a VM sends to a tool: events, and replies to commands. The first byte chooses the
//! dialect.

use std::sync::Arc;

use oriel_protocol::{
    CommandId, Dialect, EventKind, Grant,
    commands::{VcpuId, VcpuReply, VmId, VmReply},
    kvmi::{
        Body, EventReply, Intake, PageReply, Pending, Session,
        bytes::{Reader, Writer},
        event::{self, Received},
        tool::{self, Incoming},
    },
};

use crate::input::{Frame, Input};

/// Reads the stream as a tool does, message by message, and answers its events.
///
/// # Panics
/// If what was read does not read the same once it is written, or a session does not understand
/// the answer to an event.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (dialect, _) = input.dialect();
    while let Some(Frame { header, payload }) = input.frame() {
        match tool::incoming(dialect, &header, payload) {
            Ok(Incoming::Event(received)) => {
                written_again(dialect, &received);
                answered(dialect, &received, &mut input.clone());
            }
            Ok(Incoming::Reply {
                id, error: 0, data, ..
            }) => reply(dialect, id, &data),
            Ok(Incoming::Reply { .. }) => {}
            Err(malformed) => assert!(!malformed.to_string().is_empty()),
        }
    }
}

fn written_again(dialect: Dialect, received: &Received) {
    let Received {
        seq,
        vcpu,
        snapshot,
        data,
    } = received;
    let sent = event::encode(dialect, *seq, *vcpu, snapshot, data);
    let sent = sent.expect("an event that was read has a number");
    let again = read_event(dialect, &sent);
    if event::is_of_vm(data.kind()) {
        assert_eq!(again.data, *data, "an event of the VM has nothing else");
    } else {
        assert_eq!(again, *received);
    }
}

/// An event as a tool reads it, from its whole message.
pub(crate) fn read_event(dialect: Dialect, message: &[u8]) -> Received {
    let mut input = Input::new(message);
    let Frame { header, payload } = input.frame().expect("a whole message");
    assert_eq!(payload.len(), usize::from(header.size));
    assert!(input.rest().is_empty());
    match tool::incoming(dialect, &header, payload) {
        Ok(Incoming::Event(received)) => received,
        other => panic!("an event was written, and {other:?} was read"),
    }
}

/// A tool's answer to the event means to a session what the tool meant.
fn answered(dialect: Dialect, received: &Received, input: &mut Input<'_>) {
    let (kind, vcpu, seq) = (received.data.kind(), received.vcpu, received.seq);
    let said = some_reply(dialect, kind, input);
    let Some(message) = tool::answer(dialect, vcpu, seq, kind, &said) else {
        return assert!(event::is_of_vm(kind));
    };
    let vcpus = u32::from(vcpu) + 1;
    let pending = Arc::new(Pending::new(vcpus));
    pending.announce(vcpu.into(), seq, kind);
    let mut session = Session::new(dialect, Grant::all(), vcpus, pending);
    let frame = Input::new(&message).frame().expect("a whole message");
    match session.receive(frame.header, frame.payload) {
        Ok(Intake::Verdict { reply, .. }) => assert_eq!(reply, said),
        other => panic!("the answer to a {kind:?} event was taken for {other:?}"),
    }
}

/// A reply that this kind of event takes.
fn some_reply(dialect: Dialect, kind: EventKind, input: &mut Input<'_>) -> EventReply {
    let action = input.u8().into();
    let is_page = kind == EventKind::Page && dialect != Dialect::V12;
    let body = if matches!(kind, EventKind::Cr | EventKind::Msr) {
        Body::Value(input.u64())
    } else if is_page {
        Body::Page(some_page(dialect, input))
    } else {
        Body::None
    };
    EventReply { action, body }
}

fn some_page(dialect: Dialect, input: &mut Input<'_>) -> PageReply {
    let flags = input.u8();
    let steps = matches!(dialect, Dialect::Rfc6 | Dialect::V6);
    let ctx_addr = input.u64();
    let length = input.u8();
    let ctx_data: Box<[u8]> = input.take(length.into()).into();
    PageReply {
        ctx_addr,
        ctx_size: u32::try_from(ctx_data.len()).expect("at most 255"),
        singlestep: steps && flags & 1 != 0,
        rep_complete: flags & 2 != 0,
        ctx_data,
    }
}

/// The data of a reply that says yes.
fn reply(dialect: Dialect, id: u16, data: &[u8]) {
    match CommandId::of(dialect, id) {
        Some(CommandId::Vm(id)) => vm_reply(dialect, id, data),
        Some(CommandId::Vcpu(id)) => vcpu_reply(dialect, id, data),
        Some(CommandId::Service(_)) | None => {}
    }
}

fn vm_reply(dialect: Dialect, id: VmId, data: &[u8]) {
    let Ok(reply) = VmReply::decode(id, &mut Reader::new(dialect, data)) else {
        return;
    };
    let mut to = Writer::new(dialect);
    reply.encode(&mut to);
    let bytes = to.into_bytes();
    let again = VmReply::decode(id, &mut Reader::new(dialect, &bytes));
    // The limit that v12 names is the codec's own, whatever a VM has said.
    if (id, dialect) != (VmId::GetVersion, Dialect::V12) {
        assert_eq!(again, Ok(reply));
    }
}

fn vcpu_reply(dialect: Dialect, id: VcpuId, data: &[u8]) {
    let Ok(reply) = VcpuReply::decode(id, &mut Reader::new(dialect, data)) else {
        return;
    };
    let mut to = Writer::new(dialect);
    reply.encode(&mut to);
    let bytes = to.into_bytes();
    let again = VcpuReply::decode(id, &mut Reader::new(dialect, &bytes));
    // The area always has the size that KVMI knows, whatever a VM has sent.
    if id != VcpuId::GetXsave {
        assert_eq!(again, Ok(reply));
    }
}
