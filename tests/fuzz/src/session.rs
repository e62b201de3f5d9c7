//! A stream that a tool sends to a VM, fed to a session message by message.
//!
//! The first byte chooses the dialect and the number of vCPUs, the next eight bytes which commands
//! are forbidden and the next four which events: a set bit forbids, so that zeros allow all. A
//! message of the number [`DIRECTION`] is none of the tool's: it says that a vCPU now waits in an
//! event.

mod answers;
mod outcome;

use std::sync::Arc;

use oriel_protocol::{
    CommandId, Dialect, EventKind, Grant,
    commands::VmId,
    kvmi::{
        Body, Close, EventReply, Intake, Outgoing, PageReply, Pending, Session, Snapshot, event,
    },
};

use crate::{
    frame::read_event,
    input::{Frame, Input},
    seeds,
};
use outcome::Replies;

/// A stage direction: the vCPU of the first payload byte waits in an event of the kind of the
/// second, under the message's sequence number. No dialect has a command of this number.
pub const DIRECTION: u16 = 0xfff0;

/// The most vCPUs.
const VCPUS: usize = 2;

/// Feeds the stream to a session, and answers what it accepts.
///
/// # Panics
/// If a command is answered not at all, or in a way that a tool would not understand; if a session
/// lets through what is not allowed, or an answer to an event that nobody waits for.
pub fn run(data: &[u8]) {
    let _ = play(data);
}

/// The same; gives back all that the VM has sent.
pub(crate) fn play(data: &[u8]) -> Vec<u8> {
    let mut input = Input::new(data);
    let mut stage = Stage::set(&mut input);
    while let Some(frame) = input.frame() {
        if frame.header.id == DIRECTION {
            stage.direct(frame);
        } else if let Err(close) = stage.hear(frame, input.rest()) {
            assert!(!close.to_string().is_empty());
            break;
        }
    }
    let words = stage.session.suspicion();
    assert!(words.is_none_or(|words| words.contains("--dialect")));
    stage.sent
}

/// A session with what is known about it from outside.
struct Stage {
    dialect: Dialect,
    grant: Grant,
    session: Session,
    pending: Arc<Pending>,
    waits: [Option<(u32, EventKind)>; VCPUS],
    replies: Replies,
    sent: Vec<u8>,
}

impl Stage {
    fn set(input: &mut Input<'_>) -> Self {
        let (dialect, flags) = input.dialect();
        let vcpus = 1 + u32::from(flags & 1);
        let grant = grant(dialect, input.array(), input.array());
        let pending = Arc::new(Pending::new(vcpus));
        Self {
            session: Session::new(dialect, grant.clone(), vcpus, pending.clone()),
            dialect,
            grant,
            pending,
            waits: [None; VCPUS],
            replies: Replies::On,
            sent: Vec::new(),
        }
    }

    /// A vCPU sends an event, unless it waits in one already or the dialect has none of the kind.
    fn direct(&mut self, frame: Frame<'_>) {
        let [vcpu, kind] = Input::new(frame.payload).array().map(usize::from);
        let vcpu = vcpu % VCPUS;
        let data = seeds::some_event(kind % EventKind::ALL.len());
        let kind = data.kind();
        let (number, seq) = (u16::try_from(vcpu).unwrap_or(0), frame.header.seq);
        let sent = event::encode(self.dialect, seq, number, &Snapshot::default(), &data);
        let Some(sent) = sent.filter(|_| self.waits[vcpu].is_none()) else {
            return;
        };
        assert_eq!(read_event(self.dialect, &sent).data.kind(), kind);
        self.sent.extend(sent);
        if !event::is_of_vm(kind) {
            self.pending.announce(number.into(), seq, kind);
            self.waits[vcpu] = Some((seq, kind));
        }
    }

    /// The tool sends a message; `rest` is what the machine answers from.
    fn hear(&mut self, frame: Frame<'_>, rest: &[u8]) -> Result<(), Close> {
        let intake = self.session.receive(frame.header, frame.payload)?;
        assert_eq!(frame.payload.len(), usize::from(frame.header.size));
        assert!(frame.payload.len() <= self.dialect.max_received());
        if let Intake::Verdict {
            vcpu,
            seq,
            kind,
            reply,
        } = intake
        {
            assert_eq!(frame.header.id, self.dialect.event_reply());
            let waited = self.waits[usize::try_from(vcpu).expect("one of ours")].take();
            assert_eq!(waited, Some((seq, kind)), "nobody else waited");
            fits(&reply);
            return Ok(());
        }
        let outgoing = self.outgoing(frame, intake, rest);
        let id = frame.header.id;
        let switches = CommandId::of(self.dialect, id) == Some(SWITCH) && self.allows(id);
        let counts = if switches {
            self.replies.switch(self.dialect, frame.payload)
        } else {
            self.replies
        };
        let message = outcome::check(self.dialect, counts, frame.header, outgoing);
        self.sent.extend(message);
        Ok(())
    }

    /// What becomes of a command.
    fn outgoing(&self, frame: Frame<'_>, intake: Intake, rest: &[u8]) -> Outgoing {
        let header = frame.header;
        match intake {
            Intake::Vm(ticket, call) => {
                assert_eq!(ticket.command(), CommandId::Vm(call.id()));
                assert!(ticket.seq() == header.seq && self.allows(header.id));
                answers::vm_again(self.dialect, header, &call);
                ticket.vm(answers::vm(self.dialect, header.seq, &call, rest))
            }
            Intake::Vcpu(ticket, vcpu, call) => {
                assert_eq!(ticket.command(), CommandId::Vcpu(call.id()));
                assert!(ticket.seq() == header.seq && self.allows(header.id));
                answers::vcpu_again(self.dialect, header, vcpu, &call);
                ticket.vcpu(answers::vcpu(self.dialect, header.seq, &call, rest))
            }
            Intake::Refused { command, answer } => {
                let pause = command == CommandId::Vm(VmId::PauseVcpu);
                assert!(self.grant.admit(command).is_err() || pause);
                Outgoing::Message(answer.expect("a refusal is said"))
            }
            Intake::Answered(answer) => answer.map_or(Outgoing::Nothing, Outgoing::Message),
            Intake::Reported(error) => Outgoing::CommandError(error),
            Intake::Verdict { .. } => panic!("a command was taken for an answer"),
        }
    }

    /// Whether the number is a command's that the tool may send.
    fn allows(&self, id: u16) -> bool {
        let Some(command) = CommandId::of(self.dialect, id) else {
            return false;
        };
        ALWAYS.contains(&command) || self.grant.admit(command).is_ok()
    }
}

/// What no mask forbids.
const ALWAYS: [CommandId; 3] = [
    CommandId::Vm(VmId::GetVersion),
    CommandId::Vm(VmId::CheckCommand),
    CommandId::Vm(VmId::CheckEvent),
];

/// The command that switches replies.
const SWITCH: CommandId = CommandId::Vm(VmId::ControlCommandResponse);

/// All but what these bits forbid: a bit a number on the wire, from the lowest.
fn grant(dialect: Dialect, commands: [u8; 8], events: [u8; 4]) -> Grant {
    let commands = u64::from_le_bytes(commands);
    let events = u32::from_le_bytes(events);
    let free = |number: Option<u16>, forbidden: u64| {
        let bit = number.and_then(|number| 1_u64.checked_shl(number.into()));
        bit.is_none_or(|bit| forbidden & bit == 0)
    };
    let ids = CommandId::all().filter(|id| free(id.numbers().of(dialect), commands));
    let kinds = EventKind::ALL.iter().copied();
    let kinds = kinds.filter(|kind| free(kind.numbers().of(dialect), events.into()));
    Grant {
        commands: ids.collect(),
        events: kinds.collect(),
        bounds: None,
    }
}

/// The reply holds no more than it says, and no more than fits.
fn fits(reply: &EventReply) {
    if let Body::Page(page) = &reply.body {
        assert_eq!(u32::try_from(page.ctx_data.len()), Ok(page.ctx_size));
        assert!(page.ctx_data.len() <= PageReply::CONTEXT);
    }
}
