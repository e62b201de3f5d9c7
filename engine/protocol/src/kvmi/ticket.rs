//! The right and the duty to answer one command.

use super::Errno;
use crate::{Dialect, Refusal, commands::VcpuReply, commands::VmReply, events::CommandError};

/// How one command is answered. Answering consumes it, so nobody answers twice.
#[derive(Debug)]
#[must_use = "a command that is not answered hangs the tool"]
pub struct Ticket {
    _dialect: Dialect,
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
    /// The answer to a command for the VM.
    pub fn vm(self, _: Result<VmReply, Refusal>) -> Outgoing {
        unimplemented!("being written")
    }

    /// The answer to a command for a vCPU.
    pub fn vcpu(self, _: Result<VcpuReply, Refusal>) -> Outgoing {
        unimplemented!("being written")
    }

    /// No.
    pub fn error(self, _: Errno) -> Outgoing {
        unimplemented!("being written")
    }
}
