//! Why a connection is closed, or a message not understood, in words. It owns the reasons; who
//! closes is the session's business.

use thiserror::Error;

use super::Errno;
use crate::Dialect;

/// What is wrong with a request: either the command is refused, or the connection ends.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// The command is answered with this number.
    #[error("refused with error {}", .0.0)]
    Errno(Errno),
    /// The connection is closed.
    #[error(transparent)]
    Close(#[from] Close),
}

impl From<Errno> for Flaw {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// Why the connection to a tool is closed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Close {
    /// A message is longer than the dialect allows.
    #[error("message {id} announces {size} bytes, {} takes at most {limit}", .dialect.name())]
    TooLong {
        /// Its number.
        id: u16,
        /// The bytes it announces, without the header.
        size: u16,
        /// The most that the dialect allows.
        limit: usize,
        /// The dialect.
        dialect: Dialect,
    },
    /// A message has fewer or more bytes than its header says.
    #[error("message {id} announces {size} bytes but has {had}")]
    Torn {
        /// Its number.
        id: u16,
        /// The bytes it announces, without the header.
        size: u16,
        /// The bytes it has.
        had: usize,
    },
    /// Padding is not zero where that ends the connection.
    #[error("{command} has padding that is not zero")]
    Padding {
        /// The command.
        command: &'static str,
    },
    /// There is less behind the fixed part than it announces.
    #[error("{command} announces {announced} bytes of data but has {had}")]
    Short {
        /// The command.
        command: &'static str,
        /// The bytes of data it announces.
        announced: u64,
        /// The bytes it has.
        had: usize,
    },
    /// A command would return data while replies are off.
    #[error("{command} returns data, but replies are switched off")]
    Silenced {
        /// The command.
        command: &'static str,
    },
    /// An unknown command while replies are off.
    #[error("message {id} is unknown, and replies are switched off")]
    UnknownWhileSilent {
        /// Its number.
        id: u16,
    },
    /// A command that is not granted while replies are off.
    #[error("{command} is not granted, and replies are switched off")]
    DeniedWhileSilent {
        /// The command.
        command: &'static str,
    },
    /// A command that raises an event that is not granted.
    #[error("{command} raises {event} events, which are not granted")]
    EventDenied {
        /// The command.
        command: &'static str,
        /// The event.
        event: &'static str,
    },
    /// The connection has been given up before.
    #[error("a message came in after the connection was given up")]
    Over,
    /// A reply to an event that is not one.
    #[error("the reply to event {seq} of vCPU {vcpu} {flaw}")]
    EventReply {
        /// The number of the event it names.
        seq: u32,
        /// The vCPU it names.
        vcpu: u16,
        /// What is wrong with it.
        flaw: ReplyFlaw,
    },
}

/// What is wrong with the reply to an event.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReplyFlaw {
    /// Shorter than what every reply has.
    #[error("has {had} bytes of at least 16")]
    Short {
        /// The bytes it has.
        had: usize,
    },
    /// Longer than the event's reply is.
    #[error("has {had} bytes of at most {limit}")]
    Long {
        /// The bytes it has.
        had: usize,
        /// The most that the event takes.
        limit: usize,
    },
    /// Padding is not zero.
    #[error("has padding that is not zero")]
    Padding,
    /// That vCPU does not wait for it.
    #[error("answers nothing that this vCPU waits for")]
    NothingPending,
    /// The event named in it is another one.
    #[error("names event {named}, but the vCPU waits in event {expected}")]
    AnotherEvent {
        /// The event's number in the reply.
        named: u8,
        /// The number of the event that the vCPU is in.
        expected: u16,
    },
    /// More bytes for the emulator than fit.
    #[error("gives {size} bytes for the emulator, at most 256 fit")]
    Context {
        /// How many it gives.
        size: u32,
    },
}

/// Why a message of a VM makes no sense to a tool.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer bytes than the message must have.
    #[error("{what} has {had} bytes of at least {least}")]
    Short {
        /// Which message.
        what: &'static str,
        /// The bytes it has.
        had: usize,
        /// The least it must have.
        least: usize,
    },
    /// Another number of bytes than the message has.
    #[error("{what} has {had} bytes instead of {expected}")]
    Size {
        /// Which message.
        what: &'static str,
        /// The bytes it has.
        had: usize,
        /// The bytes it should have.
        expected: usize,
    },
    /// The size that an event's common part gives itself is impossible.
    #[error("an event's common part calls itself {size} bytes long, of {had}")]
    CommonSize {
        /// What it calls itself.
        size: u16,
        /// What there is.
        had: usize,
    },
    /// An event that the dialect does not have.
    #[error("{} has no event {number}", .dialect.name())]
    UnknownEvent {
        /// Its number.
        number: u16,
        /// The dialect.
        dialect: Dialect,
    },
    /// A field has a value that means nothing.
    #[error("{what} of {value} means nothing")]
    Value {
        /// Which field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// This row is not spoken in this dialect.
    #[error("{} does not speak {what}", .dialect.name())]
    NotSpoken {
        /// The row's name.
        what: &'static str,
        /// The dialect.
        dialect: Dialect,
    },
}
