//! Why the stub could not be spoken to, and what to do about it.

use std::io;

use thiserror::Error;

use crate::qemu::{layout::LayoutError, packet::PacketError};

/// The gdb connection is of no use.
#[derive(Debug, Error)]
pub enum GdbError {
    /// Nobody listens there.
    #[error(
        "nobody listens there: start QEMU with `-gdb unix:PATH,server=on,wait=off`, or say `gdbserver unix:PATH` on its monitor"
    )]
    Connect(#[source] io::Error),
    /// Nothing came in time.
    #[error(
        "no answer to {0:?}: another debugger is attached (QEMU serves one at a time and lets the next wait), or QEMU hangs"
    )]
    Silent(String),
    /// The other side is gone.
    #[error("QEMU has closed the gdb connection")]
    Closed,
    /// The host's socket failed.
    #[error("the gdb connection broke")]
    Lost(#[source] io::Error),
    /// What comes is no packet.
    #[error("what answers is no gdbstub")]
    Packet(#[source] PacketError),
    /// The stub says no.
    #[error("the stub refuses {question:?} with {answer:?}")]
    Refused {
        /// What was asked.
        question: String,
        /// What it says.
        answer: String,
    },
    /// The stub answers something else.
    #[error("the stub answers {question:?} with {answer:?}")]
    Unexpected {
        /// What was asked.
        question: String,
        /// What it says.
        answer: String,
    },
    /// Its registers are not those of a 64-bit x86.
    #[error("this guest cannot be watched")]
    Layout(#[source] LayoutError),
    /// There is no such vCPU.
    #[error("there is no vCPU {0}")]
    NoVcpu(u32),
}

impl GdbError {
    pub(in crate::qemu) fn refused(question: &str, answer: &[u8]) -> Self {
        Self::Refused {
            question: shortened(question.as_bytes()),
            answer: shortened(answer),
        }
    }

    pub(in crate::qemu) fn unexpected(question: &str, answer: &[u8]) -> Self {
        Self::Unexpected {
            question: question.to_owned(),
            answer: shortened(answer),
        }
    }

    /// Whether the connection can still be used.
    pub(in crate::qemu) const fn is_an_answer(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NoVcpu(_))
    }
}

fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(60).collect()
}
