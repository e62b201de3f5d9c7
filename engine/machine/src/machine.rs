//! The traits that all five machines fit.
//!
//! ```text
//!              enter(verdict)                      Exit
//!   engine ───────────────────► vCPU, in the guest ─────► Event | Kicked | Ended
//!      ▲                                                     │
//!      └──── judge, on the same thread, state at hand ◄──────┘
//! ```

use std::{any::Any, fmt, sync::Arc};

use oriel_protocol::{
    Capabilities, Event, Gpa, Identity, Refusal, Verdict,
    events::ShutdownCause,
    x86::{Control, CpuidLeaf, Exception, General, Special},
};
use thiserror::Error;

use crate::{Changed, GuestMemory, Unjudged, Wants};

/// A virtual machine as a whole. Shared by all threads.
pub trait Machine: Send + Sync {
    /// Which VM it is.
    fn identity(&self) -> &Identity;

    /// What it can do; fixed from the first day of its life.
    fn capabilities(&self) -> &Capabilities;

    /// Its memory.
    fn memory(&self) -> &dyn GuestMemory;

    /// Makes the machine report what all judges together want, and nothing else. Takes the whole
    /// union each time; the same union again is no work.
    ///
    /// # Errors
    /// [`ArmError`] names what cannot be reported; then what was armed before still is.
    fn arm(&self, wants: &Wants) -> Result<(), ArmError>;

    /// The same, of a union that differs from the last one that was armed by no more than this: so
    /// thousands can be armed one by one. A machine that gains nothing by it takes the whole.
    ///
    /// # Errors
    /// As [`arm`](Self::arm).
    fn arm_changed(&self, wants: &Wants, _changed: &Changed) -> Result<(), ArmError> {
        self.arm(wants)
    }

    /// Keeps every other vCPU out of the guest until the hold is dropped. Returns once none of
    /// them is in the guest; never waits for their judges.
    ///
    /// # Errors
    /// [`Refusal::Busy`] if another vCPU holds the world already.
    fn hold_others(&self, vcpu: u32) -> Result<Hold, Refusal>;

    /// How often the guest is known to have begun anew since it is watched. What was found in its memory
    /// before is of no use then, even if it is still there. 0 on machines that cannot tell.
    fn resets(&self) -> u64 {
        0
    }

    /// The state of a vCPU for other threads, on machines that can have it without stopping the
    /// vCPU (a KVMI kernel answers over its socket). Elsewhere the vCPU's own thread is asked.
    fn remote(&self, _vcpu: u32) -> Option<Box<dyn VcpuState>> {
        None
    }
}

/// The state of a vCPU. Any read may be [`Refusal::Unavailable`]; it is never zeros instead.
///
/// Every method has the errors of [`Refusal`]: `Unsupported` where the machine never can,
/// `NotFound` for an MSR, leaf or XCR that does not exist, `Invalid` for a value it cannot take.
#[expect(clippy::missing_errors_doc, reason = "said once, for all, above")]
pub trait VcpuState: Send {
    /// General registers.
    fn general(&mut self) -> Result<General, Refusal>;
    /// Sets the general registers.
    fn set_general(&mut self, general: &General) -> Result<(), Refusal>;
    /// Segments, tables and control registers.
    fn special(&mut self) -> Result<Special, Refusal>;
    /// The control registers alone, where they cost less than all of [`special`](Self::special).
    fn control(&mut self) -> Result<Control, Refusal> {
        self.special().map(|special| Control::of(&special))
    }
    /// Sets segments, tables and control registers.
    fn set_special(&mut self, special: &Special) -> Result<(), Refusal>;
    /// An MSR.
    fn msr(&mut self, msr: u32) -> Result<u64, Refusal>;
    /// Several MSRs; none for those that cannot be read.
    fn msrs(&mut self, numbers: &[u32]) -> Vec<Option<u64>> {
        numbers.iter().map(|&msr| self.msr(msr).ok()).collect()
    }
    /// Sets an MSR, as the guest could.
    fn set_msr(&mut self, msr: u32, value: u64) -> Result<(), Refusal>;
    /// What CPUID answers.
    fn cpuid(&mut self, function: u32, index: u32) -> Result<CpuidLeaf, Refusal>;
    /// An extended control register.
    fn xcr(&mut self, xcr: u8) -> Result<u64, Refusal>;
    /// The XSAVE area.
    fn xsave(&mut self) -> Result<Vec<u8>, Refusal>;
    /// Sets the XSAVE area.
    fn set_xsave(&mut self, area: &[u8]) -> Result<(), Refusal>;
    /// The memory type of an address by the MTRRs: 0 uncached to 6 write-back.
    fn mtrr_type(&mut self, gpa: Gpa) -> Result<u8, Refusal>;
    /// The frequency of the time-stamp counter in Hz.
    fn tsc_hz(&mut self) -> Result<u64, Refusal>;
    /// Raises an exception at the next entry; [`Refusal::Busy`] if one is pending.
    fn inject(&mut self, exception: Exception) -> Result<(), Refusal>;
}

/// One virtual CPU. Lives on one thread.
pub trait Vcpu: VcpuState + Any {
    /// Its number, from 0.
    fn index(&self) -> u32;

    /// What makes [`enter`](Self::enter) return, from any thread.
    fn kicker(&self) -> Arc<dyn Kicker>;

    /// Forgets kicks until now. Called before the mailbox is drained, so that a kick after the
    /// drain is not lost.
    fn acknowledge_kick(&mut self);

    /// Carries out the verdict on the last event, runs the guest, and returns when something
    /// happens. The verdict is carried out even when the answer is [`Exit::Kicked`]; what is
    /// given then is [`Verdict::Continue`], which does nothing.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    fn enter(&mut self, verdict: Verdict) -> Result<Exit, MachineError>;

    /// Accesses to trapped pages that went through unjudged since the last answer, on this vCPU or
    /// where it is not known on which. A machine that has some to tell makes
    /// [`enter`](Self::enter) return [`Exit::Kicked`], once, so that they are told soon. None where
    /// every access can be judged.
    fn take_unjudged(&mut self) -> Option<Unjudged> {
        None
    }
}

/// Makes a vCPU leave the guest.
pub trait Kicker: Send + Sync {
    /// Makes the current or the next [`Vcpu::enter`] return [`Exit::Kicked`] soon.
    fn kick(&self);
}

/// Why a vCPU came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something was seen that somebody wants.
    Event(Event),
    /// Somebody wants the thread, or it has something to tell besides events.
    Kicked,
    /// It will not run again.
    Ended(End),
}

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest ended by its own word, with this number.
    Finished(u32),
    /// The guest shut down by itself.
    Shutdown(ShutdownCause),
    /// The guest did something that the machine cannot carry out; the text names it.
    Crashed(String),
    /// A verdict stopped it.
    Stopped,
    /// The host told it to end.
    Cancelled,
    /// The machine failed; the text names the reason.
    Failed(String),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished(status) => write!(out, "the guest ended with {status}"),
            Self::Shutdown(ShutdownCause::TripleFault) => write!(out, "the guest triple-faulted"),
            Self::Shutdown(ShutdownCause::Request) => write!(out, "the guest shut down"),
            Self::Shutdown(ShutdownCause::Halted) => write!(out, "all vCPUs halted for good"),
            Self::Stopped => write!(out, "stopped by a verdict"),
            Self::Cancelled => write!(out, "told to end"),
            Self::Crashed(reason) | Self::Failed(reason) => write!(out, "{reason}"),
        }
    }
}

/// Keeps the other vCPUs out of the guest until it is dropped.
pub struct Hold(Option<Box<dyn FnOnce() + Send>>);

impl Hold {
    /// A hold that is ended by `release`.
    pub fn new(release: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(release)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Hold")
    }
}

/// A machine with the vCPUs that go to a thread each.
pub struct Parts {
    /// What is shared.
    pub machine: Arc<dyn Machine>,
    /// By index.
    pub vcpus: Vec<Box<dyn Vcpu>>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Parts({}, {} vCPUs)",
            self.machine.identity().name,
            self.vcpus.len()
        )
    }
}

/// Something cannot be reported.
#[derive(Debug, Error)]
pub enum ArmError {
    /// This machine never can.
    #[error("{what} cannot be reported here: {reason}")]
    Unsupported {
        /// What was wanted.
        what: String,
        /// Why not, and what to do instead.
        reason: String,
    },
    /// There is no room for it.
    #[error("there is no room for {what}: {taken}")]
    Full {
        /// What was wanted.
        what: String,
        /// What takes the room, and what to do.
        taken: String,
    },
    /// The host would not.
    #[error("arming {what} failed")]
    Host {
        /// What was wanted.
        what: String,
        /// What the host said.
        source: std::io::Error,
    },
}

impl From<&ArmError> for Refusal {
    fn from(error: &ArmError) -> Self {
        match error {
            ArmError::Unsupported { .. } => Self::Unsupported,
            ArmError::Full { .. } => Self::Limit,
            ArmError::Host { .. } => Self::Unavailable,
        }
    }
}

/// A vCPU cannot go on.
#[derive(Debug, Error)]
pub enum MachineError {
    /// The host's call failed.
    #[error("{action} failed on vCPU {vcpu}")]
    Host {
        /// Which vCPU.
        vcpu: u32,
        /// What was tried.
        action: &'static str,
        /// What the host said.
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests;
