//! The VM's side of a connection, without the connection.

use std::sync::Arc;

use super::{Close, EventReply, Pending, Ticket, frame::Header};
use crate::{CommandId, Dialect, EventKind, Grant, VcpuCall, VmCall, events::CommandError};

/// The VM's side of a connection: frames in, what they mean out.
#[derive(Debug)]
pub struct Session {
    _dialect: Dialect,
    _grant: Grant,
    _vcpus: u32,
    _pending: Arc<Pending>,
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

impl Session {
    /// A session that nothing has been said in.
    pub const fn new(dialect: Dialect, grant: Grant, vcpus: u32, pending: Arc<Pending>) -> Self {
        Self {
            _dialect: dialect,
            _grant: grant,
            _vcpus: vcpus,
            _pending: pending,
        }
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// [`Close`] says why the connection ends.
    pub fn receive(&mut self, _: Header, _: &[u8]) -> Result<Intake, Close> {
        unimplemented!("being written")
    }

    /// In words, that the tool seems to speak another dialect; none if nothing points to it.
    pub fn suspicion(&self) -> Option<String> {
        unimplemented!("being written")
    }
}
