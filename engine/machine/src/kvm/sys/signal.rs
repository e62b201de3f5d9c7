//! The signal that makes a vCPU's thread leave `KVM_RUN`.

#![expect(unsafe_code, reason = "no safe crate sends a signal to one thread")]

use std::io;

use libc::{c_int, c_void, siginfo_t};
use rustix::{
    process::{Pid, getpid},
    thread::gettid,
};
use vmm_sys_util::signal;

/// Takes the signal and does nothing: that it came has already made `KVM_RUN` return.
extern "C" fn nothing(_: c_int, _: *mut siginfo_t, _: *mut c_void) {}

/// A signal that has a handler, so that it interrupts a thread and does not end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KickSignal(c_int);

/// A thread of this process, as signals reach it.
#[derive(Clone, Copy, Debug)]
pub(in crate::kvm) struct Target(Pid);

impl Target {
    /// The calling thread.
    pub(in crate::kvm) fn current() -> Self {
        Self(gettid())
    }
}

impl KickSignal {
    /// Gives the signal a handler that does nothing, for the whole process.
    ///
    /// # Errors
    /// Whatever `sigaction` says, for instance of a number that is no signal's.
    pub fn install(number: i32) -> io::Result<Self> {
        signal::register_signal_handler(number, nothing)?;
        Ok(Self(number))
    }

    /// A signal that the embedder handles already, without restarting system calls by force.
    #[must_use]
    pub const fn handled_already(number: i32) -> Self {
        Self(number)
    }

    /// The first real-time signal, which nothing else in Oriel uses.
    #[must_use]
    pub fn default_number() -> i32 {
        signal::SIGRTMIN()
    }

    /// Lets the signal reach the calling thread.
    pub(in crate::kvm) fn unblock(self) -> io::Result<()> {
        signal::unblock_signal(self.0).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Sends the signal to a thread of this process. If the thread has ended, that is as good.
    pub(in crate::kvm) fn send(self, target: &Target) {
        let (process, thread) = (getpid().as_raw_pid(), target.0.as_raw_pid());
        // SAFETY: the call takes three integers and touches no memory of ours. Should the thread
        // have ended and its number be another's by now, that one is of this process too
        // (`tgkill` checks) and takes the signal with the same handler.
        unsafe { libc::tgkill(process, thread, self.0) };
    }
}
