//! Whether what a session sends is what a tool waits for. It has its own idea of who is answered,
//! so that it does not believe the session.

use oriel_protocol::{
    CommandId, Dialect, EventData,
    commands::{VcpuReply, VmReply},
    events::CommandError,
    kvmi::{
        Outgoing, Snapshot,
        bytes::Reader,
        event,
        frame::{HEADER, Header},
        tool::{self, Incoming},
    },
};

use crate::{
    frame::read_event,
    input::{Frame, Input},
};

/// The errors that clients know, without their sign.
const ERRNOS: [i32; 10] = [1, 2, 7, 11, 12, 14, 16, 22, 95, 1000];
/// EPERM and EOPNOTSUPP, which rfc6 and v6 say even while replies are off.
const SAID_ALWAYS: [i32; 2] = [-1, -95];
/// The longest payload that clients take.
const LONGEST: usize = 8184;

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replies {
    On,
    Off,
    /// Errors alone, as events.
    Errors,
}

impl Replies {
    /// Switched by a command with this payload; answers what counts for that command itself.
    pub(super) fn switch(&mut self, dialect: Dialect, payload: &[u8]) -> Self {
        let [enable, now, flags] = Input::new(payload).array();
        let reports = dialect == Dialect::V7 && flags & 1 != 0;
        let next = match (enable, reports) {
            (1.., _) => Self::On,
            (0, false) => Self::Off,
            (0, true) => Self::Errors,
        };
        let before = std::mem::replace(self, next);
        if now == 1 { next } else { before }
    }
}

/// Checks what becomes of a command; gives back the bytes that go out.
pub(super) fn check(
    dialect: Dialect,
    replies: Replies,
    command: Header,
    outgoing: Outgoing,
) -> Vec<u8> {
    match outgoing {
        Outgoing::Message(message) => {
            let error = message_is_whole(dialect, command, &message);
            let old = matches!(dialect, Dialect::Rfc6 | Dialect::V6);
            let always = old && SAID_ALWAYS.contains(&error);
            assert!(replies == Replies::On || always, "replies are off");
            message
        }
        Outgoing::CommandError(error) => {
            assert_eq!(replies, Replies::Errors);
            reported(dialect, command, error)
        }
        Outgoing::Nothing => {
            assert_ne!(replies, Replies::On, "a command without an answer");
            Vec::new()
        }
    }
}

/// An error that goes out as an event tells of this command.
fn reported(dialect: Dialect, command: Header, error: CommandError) -> Vec<u8> {
    assert_eq!((error.id, error.seq), (command.id, command.seq));
    assert!(ERRNOS.contains(&-error.error));
    let data = EventData::from(error);
    let sent = event::encode(dialect, 1, 0, &Snapshot::default(), &data);
    let sent = sent.expect("only v7 has such replies, and it has the event");
    assert_eq!(read_event(dialect, &sent).data, data);
    sent
}

/// The message answers the command, and a tool can read it; the error in it.
fn message_is_whole(dialect: Dialect, command: Header, message: &[u8]) -> i32 {
    let mut input = Input::new(message);
    let Frame { header, payload } = input.frame().expect("a header");
    assert_eq!((header.id, header.seq), (command.id, command.seq));
    assert_eq!(usize::from(header.size) + HEADER, message.len());
    assert!((8..=LONGEST).contains(&payload.len()));
    let Some(known) = CommandId::of(dialect, header.id) else {
        // It may be the number of events, which a tool would read as one.
        assert_eq!(payload.len(), 8);
        return Input::new(payload).error();
    };
    match tool::incoming(dialect, &header, payload) {
        Ok(Incoming::Reply { error, data, .. }) => {
            answer_is_whole(dialect, known, error, &data);
            error
        }
        other => panic!("a reply was sent, and {other:?} was read"),
    }
}

fn answer_is_whole(dialect: Dialect, command: CommandId, error: i32, data: &[u8]) {
    if error != 0 {
        assert!(ERRNOS.contains(&-error), "{error}");
        return assert!(data.is_empty(), "data behind an error");
    }
    let mut from = Reader::new(dialect, data);
    let (reads, may_have_data) = match command {
        CommandId::Vm(id) => (VmReply::decode(id, &mut from).is_ok(), id.returns_data()),
        CommandId::Vcpu(id) => (VcpuReply::decode(id, &mut from).is_ok(), id.returns_data()),
        CommandId::Service(_) => panic!("a service has come over a wire"),
    };
    assert!(reads && (may_have_data || data.is_empty()));
}
