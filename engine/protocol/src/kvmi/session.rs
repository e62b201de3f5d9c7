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

mod command;
mod own;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use super::{
    Close, Errno, EventReply, Outgoing, Pending, Ticket,
    frame::Header,
    suspicion::Suspicion,
    ticket::{Replies, refused},
};
use crate::{
    CommandId, Dialect, EventKind, Grant, VcpuCall, VmCall,
    commands::{VcpuId, VmId},
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
    /// Something has ended the connection: nothing more is taken in.
    over: bool,
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
            over: false,
        }
    }

    /// Takes in a message of the tool. `payload` is all that its header announces.
    ///
    /// # Errors
    /// [`Close`] says why the connection ends; after it there is nothing but [`Close::Over`].
    pub fn receive(&mut self, header: Header, payload: &[u8]) -> Result<Intake, Close> {
        if self.over {
            return Err(Close::Over);
        }
        let intake = self.take_in(header, payload);
        self.over = intake.is_err();
        intake
    }

    fn take_in(&mut self, header: Header, payload: &[u8]) -> Result<Intake, Close> {
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
}
