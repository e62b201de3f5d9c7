//! The VM's side of a connection, without the connection: frames go in, what they mean comes out.
//! It owns what is answered and what closes, in which dialect; it never reads, writes or waits,
//! and never does what a command asks.
//!
//! ```text
//! frame ─► size ─► known? ─► granted? ─► vCPU header ─► bytes ─► checks ─► Vm / Vcpu + Ticket
//!            │       │          │            │            │        │
//!          Close  Answered   Refused     Answered, or Close where the dialect says so
//!
//! id of event replies ─► whole? ─► pending? ─► fits the kind? ─► Verdict
//!                          └─────────┴──────────────┴─► Close
//! ```

use std::sync::Arc;

use super::{
    Close, Errno, EventReply, Flaw, Layout, Outgoing, Pending, ReplyFlaw, Ticket,
    bytes::Reader,
    checks::Rules,
    frame::{self, Header},
    reply,
    suspicion::Suspicion,
    ticket::{Replies, refused},
};
use crate::{
    CommandId, Dialect, EventKind, Grant, Request, VcpuCall, VmCall,
    commands::{
        VcpuId, VmId,
        vm::{CheckCommand, CheckEvent, ControlCommandResponse},
    },
    events::CommandError,
};

/// The VM's side of a connection.
#[derive(Debug)]
pub struct Session {
    dialect: Dialect,
    grant: Grant,
    vcpus: u32,
    pending: Arc<Pending>,
    replies: Replies,
    suspicion: Suspicion,
}

/// What a message of a tool turned out to be.
#[derive(Debug)]
#[must_use]
pub enum Intake {
    /// A command for the VM.
    Vm(Ticket, VmCall),
    /// A command for this vCPU.
    Vcpu(Ticket, u32, VcpuCall),
    /// The reply to the event that this vCPU waited in.
    Verdict {
        /// The vCPU.
        vcpu: u32,
        /// The event's number on this wire.
        seq: u32,
        /// The event's kind.
        kind: EventKind,
        /// The reply.
        reply: EventReply,
    },
    /// A command that is not granted, with the message that says so.
    Refused {
        /// Which.
        command: CommandId,
        /// The whole message.
        answer: Option<Vec<u8>>,
    },
    /// Done with; this message answers it, if any.
    Answered(Option<Vec<u8>>),
    /// A command failed while replies are off and errors are wanted as events: send this one.
    Reported(CommandError),
}

impl From<Outgoing> for Intake {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Message(message) => Self::Answered(Some(message)),
            Outgoing::CommandError(error) => Self::Reported(error),
            Outgoing::Nothing => Self::Answered(None),
        }
    }
}

impl Session {
    /// A session in which nothing has been said.
    pub const fn new(dialect: Dialect, grant: Grant, vcpus: u32, pending: Arc<Pending>) -> Self {
        Self {
            dialect,
            grant,
            vcpus,
            pending,
            replies: Replies::On,
            suspicion: Suspicion::new(dialect),
        }
    }

    /// Takes in a message of the tool. `payload` is all that its header announces.
    ///
    /// # Errors
    /// [`Close`] says why the connection ends; nothing may be taken in after it.
    pub fn receive(&mut self, header: Header, payload: &[u8]) -> Result<Intake, Close> {
        self.is_whole(header, payload)?;
        if header.id == self.dialect.event_reply() {
            return self.event_reply(header, payload);
        }
        self.suspicion.hear(header.id, header.size);
        if let Some(id) = VmId::of(self.dialect, header.id) {
            return self.vm(header, id, payload);
        }
        match VcpuId::of(self.dialect, header.id) {
            Some(id) => self.vcpu(header, id, payload),
            None => self.unknown(header),
        }
    }

    /// In words, that the tool seems to speak another dialect; none if nothing points to it.
    ///
    /// To be asked when the connection has ended or a message was not understood: that a tool has
    /// asked for the version and nothing else is a sign only then.
    pub fn suspicion(&self) -> Option<String> {
        self.suspicion.words()
    }

    fn is_whole(&self, header: Header, payload: &[u8]) -> Result<(), Close> {
        let Header { id, size, .. } = header;
        let limit = self.dialect.max_received();
        if usize::from(size) > limit {
            return Err(Close::TooLong {
                id,
                size,
                limit,
                dialect: self.dialect,
            });
        }
        match payload.len() {
            had if had == usize::from(size) => Ok(()),
            had => Err(Close::Torn { id, size, had }),
        }
    }

    /// An id that the dialect has no row for: said before it is asked whether it is allowed.
    fn unknown(&self, header: Header) -> Result<Intake, Close> {
        let errno = match self.dialect {
            Dialect::Rfc6 | Dialect::V6 => Errno::OPNOTSUPP,
            Dialect::V7 | Dialect::V12 => Errno::NOSYS,
        };
        match (self.dialect, self.replies) {
            (Dialect::V7, Replies::Off | Replies::Errors) => {
                Err(Close::UnknownWhileSilent { id: header.id })
            }
            (Dialect::Rfc6 | Dialect::V6 | Dialect::V7 | Dialect::V12, _) => {
                Ok(Intake::Answered(Some(refused(header, errno))))
            }
        }
    }

    /// A command that is not granted. rfc6 and v6 say so even while replies are off.
    fn denied(&self, header: Header, command: CommandId) -> Result<Intake, Close> {
        match (self.dialect, self.replies) {
            (Dialect::V7, Replies::Off | Replies::Errors) => Err(Close::DeniedWhileSilent {
                command: command.name(),
            }),
            (Dialect::Rfc6 | Dialect::V6 | Dialect::V7 | Dialect::V12, _) => Ok(Intake::Refused {
                command,
                answer: Some(refused(header, Errno::PERM)),
            }),
        }
    }

    /// What may be asked whatever the grant.
    fn is_granted(&self, command: CommandId) -> bool {
        let always = matches!(
            command,
            CommandId::Vm(VmId::GetVersion | VmId::CheckCommand | VmId::CheckEvent)
        );
        always || self.grant.admit(command).is_ok()
    }

    fn vm(&mut self, header: Header, id: VmId, payload: &[u8]) -> Result<Intake, Close> {
        let command = CommandId::Vm(id);
        if !self.is_granted(command) {
            return self.denied(header, command);
        }
        let mut from = Reader::new(self.dialect, payload);
        let ticket = self.ticket(header, command);
        if id == VmId::CheckCommand {
            return answered(ticket, self.check_command(&mut from));
        }
        if id == VmId::CheckEvent {
            return answered(ticket, self.check_event(&mut from));
        }
        if id == VmId::ControlCommandResponse {
            return self.switch_replies(ticket, &mut from);
        }
        match self.vm_call(id, &mut from) {
            Ok(call) => Ok(Intake::Vm(ticket.expecting(expected_of_vm(&call)), call)),
            Err(Flaw::Errno(Errno::PERM)) if id == VmId::PauseVcpu => self.denied(header, command),
            Err(flaw) => answered(ticket, Err(flaw)),
        }
    }

    fn vm_call(&self, id: VmId, from: &mut Reader<'_>) -> Result<VmCall, Flaw> {
        let call = VmCall::decode(id, from)?;
        self.rules().vm(&call)?;
        self.can_be_answered(id.returns_data(), id.name())?;
        Ok(call)
    }

    fn vcpu(&self, header: Header, id: VcpuId, payload: &[u8]) -> Result<Intake, Close> {
        let command = CommandId::Vcpu(id);
        if !self.is_granted(command) {
            return self.denied(header, command);
        }
        let mut from = Reader::new(self.dialect, payload);
        let ticket = self.ticket(header, command);
        match self.vcpu_call(id, &mut from) {
            Ok((vcpu, call)) => Ok(Intake::Vcpu(
                ticket.expecting(expected_of_vcpu(&call)),
                vcpu,
                call,
            )),
            Err(flaw) => answered(ticket, Err(flaw)),
        }
    }

    fn vcpu_call(&self, id: VcpuId, from: &mut Reader<'_>) -> Result<(u32, VcpuCall), Flaw> {
        let vcpu = frame::take_vcpu(from, id.name())?;
        if vcpu >= self.vcpus {
            return Err(Errno::INVAL.into());
        }
        let call = VcpuCall::decode(id, from)?;
        self.rules().vcpu(&call)?;
        self.can_be_answered(id.returns_data(), id.name())?;
        Ok((vcpu, call))
    }

    /// While replies are off, a command that asks for data ends the connection.
    fn can_be_answered(&self, returns_data: bool, command: &'static str) -> Result<(), Close> {
        match self.replies {
            Replies::Off | Replies::Errors if returns_data => Err(Close::Silenced { command }),
            Replies::On | Replies::Off | Replies::Errors => Ok(()),
        }
    }

    const fn rules(&self) -> Rules<'_> {
        Rules {
            dialect: self.dialect,
            grant: &self.grant,
            vcpus: self.vcpus,
        }
    }

    const fn ticket(&self, header: Header, command: CommandId) -> Ticket {
        Ticket {
            dialect: self.dialect,
            header,
            command,
            replies: self.replies,
            expected: None,
        }
    }

    /// Answers from the grant alone. Replies to events have a number but no row; they are always
    /// let through, which v12 does not count as a command.
    fn check_command(&self, from: &mut Reader<'_>) -> Result<(), Flaw> {
        let number = from.clone().u16();
        if number == self.dialect.event_reply() && self.dialect != Dialect::V12 {
            from.skip(size_of::<u16>());
            return from.padding(6);
        }
        let CheckCommand { command } = CheckCommand::take(from)?;
        match self.is_granted(command) {
            true => Ok(()),
            false => Err(Errno::PERM.into()),
        }
    }

    fn check_event(&self, from: &mut Reader<'_>) -> Result<(), Flaw> {
        let CheckEvent { event } = CheckEvent::take(from)?;
        match self.grant.events.contains(event) {
            true => Ok(()),
            false => Err(Errno::PERM.into()),
        }
    }

    /// With `now` the new rule holds for this command already, else from the next.
    fn switch_replies(&mut self, ticket: Ticket, from: &mut Reader<'_>) -> Result<Intake, Close> {
        let request = match ControlCommandResponse::take(from) {
            Ok(request) => request,
            Err(flaw) => return answered(ticket, Err(flaw)),
        };
        let next = match (request.enable, request.report_errors) {
            (true, _) => Replies::On,
            (false, false) => Replies::Off,
            (false, true) => Replies::Errors,
        };
        if next == Replies::Errors && !self.grant.events.contains(EventKind::CommandError) {
            return Err(Close::EventDenied {
                command: ControlCommandResponse::ID.name(),
                event: EventKind::CommandError.name(),
            });
        }
        let before = std::mem::replace(&mut self.replies, next);
        let replies = if request.now { next } else { before };
        answered(Ticket { replies, ..ticket }, Ok(()))
    }

    /// Whatever is wrong with a reply to an event ends the connection, and the grant is not asked:
    /// somebody waits for it.
    fn event_reply(&self, header: Header, payload: &[u8]) -> Result<Intake, Close> {
        let vcpu = Reader::new(self.dialect, payload).u16();
        let seq = header.seq;
        match self.verdict(seq, payload) {
            Ok((kind, reply)) => Ok(Intake::Verdict {
                vcpu: vcpu.into(),
                seq,
                kind,
                reply,
            }),
            Err(flaw) => Err(Close::EventReply { seq, vcpu, flaw }),
        }
    }

    fn verdict(&self, seq: u32, payload: &[u8]) -> Result<(EventKind, EventReply), ReplyFlaw> {
        let had = payload.len();
        if had < reply::COMMON {
            return Err(ReplyFlaw::Short { had });
        }
        let mut from = Reader::new(self.dialect, payload);
        let vcpu = from.u16().into();
        from.padding(6).map_err(|_| ReplyFlaw::Padding)?;
        let kind = self
            .pending
            .take(vcpu, seq)
            .ok_or(ReplyFlaw::NothingPending)?;
        let reply = EventReply::take(&mut from, kind)?;
        Ok((kind, reply))
    }
}

/// What becomes of a command that the session answers itself.
fn answered(ticket: Ticket, result: Result<(), Flaw>) -> Result<Intake, Close> {
    match result {
        Ok(()) => Ok(ticket.done(|_| ()).into()),
        Err(Flaw::Errno(errno)) => Ok(ticket.error(errno).into()),
        Err(Flaw::Close(close)) => Err(close),
    }
}

/// Bytes of data that the tool will insist on.
fn expected_of_vm(call: &VmCall) -> Option<usize> {
    if let VmCall::ReadPhysical(request) = call {
        return usize::try_from(request.length).ok();
    }
    if let VmCall::GetPageAccess(request) = call {
        return Some(request.gpas.len());
    }
    None
}

/// Bytes of data that the tool will insist on.
fn expected_of_vcpu(call: &VcpuCall) -> Option<usize> {
    if let VcpuCall::GetRegisters(request) = call {
        return Some(request.answer_size());
    }
    None
}
