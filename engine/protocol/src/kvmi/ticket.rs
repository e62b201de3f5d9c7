//! The right and the duty to answer one command. It owns the form of answers, and who is told
//! what while replies are off; the answer itself is the caller's.

use super::{
    Errno,
    bytes::Writer,
    frame::{self, Header},
};
use crate::{
    CommandId, Dialect, Refusal,
    commands::{VcpuId, VcpuReply, VmReply},
    events::CommandError,
};

/// Whether commands are answered (CONTROL_CMD_RESPONSE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
    /// They are not, but errors come as events (v7).
    Errors,
}

/// How one command is answered. Answering consumes it, so nobody answers twice.
#[derive(Debug)]
#[must_use = "a command that is not answered hangs the tool"]
pub struct Ticket {
    pub(super) dialect: Dialect,
    /// The command's id and sequence number, which the answer repeats.
    pub(super) header: Header,
    pub(super) command: CommandId,
    pub(super) replies: Replies,
    /// Bytes of data that the tool insists on, where they follow from the request.
    pub(super) expected: Option<usize>,
}

/// What becomes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outgoing {
    /// This whole message goes out.
    Message(Vec<u8>),
    /// Replies are off, and the tool wants errors as events: this one.
    CommandError(CommandError),
    /// Replies are off: nothing goes out.
    Nothing,
}

impl Ticket {
    /// Which command it answers.
    pub const fn command(&self) -> CommandId {
        self.command
    }

    /// The command's sequence number.
    pub const fn seq(&self) -> u32 {
        self.header.seq
    }

    /// The same ticket, where the tool insists on so many bytes of data.
    pub(super) fn expecting(self, expected: Option<usize>) -> Self {
        Self { expected, ..self }
    }

    /// The answer to a command for the VM.
    pub fn vm(self, answer: Result<VmReply, Refusal>) -> Outgoing {
        match answer {
            Ok(reply) => self.done(|to| reply.encode(to)),
            Err(refusal) => self.error(refusal.into()),
        }
    }

    /// The answer to a command for a vCPU. An address that maps to nothing is no error on the
    /// wire: it translates to all ones.
    pub fn vcpu(self, answer: Result<VcpuReply, Refusal>) -> Outgoing {
        let translates = self.command == CommandId::Vcpu(VcpuId::TranslateGva);
        match answer {
            Ok(reply) => self.done(|to| reply.encode(to)),
            Err(Refusal::NotFound) if translates => self.done(|to| to.u64(u64::MAX)),
            Err(refusal) => self.error(refusal.into()),
        }
    }

    /// No. The message has the error code and nothing else: tools do not read more.
    pub fn error(self, errno: Errno) -> Outgoing {
        match self.replies {
            Replies::On => Outgoing::Message(refused(self.header, errno)),
            Replies::Off => Outgoing::Nothing,
            Replies::Errors => Outgoing::CommandError(CommandError {
                error: errno.0,
                seq: self.header.seq,
                id: self.header.id,
            }),
        }
    }

    /// Yes, with what `write` writes. Data of another size than the tool waits for would bring
    /// the stream out of step, so that is an error instead.
    pub(super) fn done(self, write: impl FnOnce(&mut Writer)) -> Outgoing {
        if self.replies != Replies::On {
            return Outgoing::Nothing;
        }
        let mut to = Writer::new(self.dialect);
        to.padding(frame::ERROR_CODE);
        write(&mut to);
        let had = to.len() - frame::ERROR_CODE;
        if self.expected.is_some_and(|expected| expected != had) {
            return self.error(Errno::INVAL);
        }
        let Header { id, seq, .. } = self.header;
        Outgoing::Message(frame::message(id, seq, &to.into_bytes()))
    }
}

/// The message that refuses a command: an error code and no data.
pub(super) fn refused(header: Header, errno: Errno) -> Vec<u8> {
    let mut code = [0; frame::ERROR_CODE];
    code[..4].copy_from_slice(&errno.0.to_le_bytes());
    frame::message(header.id, header.seq, &code)
}
