//! How the program ends, as its caller sees it.

use std::process::ExitCode;

use oriel_machine::End;
use oriel_protocol::events::ShutdownCause;

/// The exit statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The guest ended, or what was asked for is done.
    Success,
    /// Oriel could not do it.
    Error,
    /// What was typed makes no sense. Most of that is found by clap, which uses the same status.
    Usage,
    /// The guest shut down or crashed by itself.
    GuestCrashed,
    /// A verdict or a failure mode stopped it.
    Stopped,
    /// A signal ended it.
    Signal(u8),
}

impl Exit {
    /// The status for this end of a VM.
    pub(crate) const fn of(end: &End) -> Self {
        match end {
            // A guest ends by its port, or when all its vCPUs halt for good.
            End::Finished(_) | End::Shutdown(ShutdownCause::Halted) | End::Cancelled => {
                Self::Success
            }
            End::Shutdown(ShutdownCause::TripleFault | ShutdownCause::Request)
            | End::Crashed(_) => Self::GuestCrashed,
            End::Stopped => Self::Stopped,
            End::Failed(_) => Self::Error,
        }
    }

    const fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::GuestCrashed => 3,
            Self::Stopped => 4,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}
