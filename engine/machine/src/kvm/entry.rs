//! Entering the guest, and what it means that `KVM_RUN` has returned. Never looks at the exit.

use kvm_ioctls::VcpuFd;
use rustix::io::Errno;

/// How `KVM_RUN` came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// With an exit.
    Exit,
    /// Without one: a signal, or `immediate_exit`; or the vCPU has been reset under us, or waits
    /// for another to start it (EAGAIN).
    Interrupted,
    /// EFAULT: the memory behind a guest address cannot be reached.
    Fault,
}

/// What `KVM_RUN` has said (KVM API, 4.10).
///
/// # Errors
/// What is none of the three: the vCPU cannot go on.
pub(super) fn ran(said: Result<(), Errno>) -> Result<Ran, Errno> {
    match said {
        Ok(()) => Ok(Ran::Exit),
        Err(Errno::INTR | Errno::AGAIN) => Ok(Ran::Interrupted),
        Err(Errno::FAULT) => Ok(Ran::Fault),
        Err(errno) => Err(errno),
    }
}

/// Enters the guest. Tests put something in between that answers as a KVM might.
pub(super) trait Entry: Send {
    /// Runs the vCPU until it comes out.
    ///
    /// # Errors
    /// What the host says.
    fn run(&mut self, vcpu: &mut VcpuFd) -> Result<(), Errno>;
}

/// `KVM_RUN`.
pub(super) struct KvmRun;

impl Entry for KvmRun {
    fn run(&mut self, vcpu: &mut VcpuFd) -> Result<(), Errno> {
        let said = vcpu.run().map(drop);
        said.map_err(|errno| Errno::from_raw_os_error(errno.errno()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_nothing_of_the_guest_is_tried_again() {
        assert_eq!(ran(Ok(())), Ok(Ran::Exit));
        for errno in [Errno::INTR, Errno::AGAIN] {
            assert_eq!(ran(Err(errno)), Ok(Ran::Interrupted));
        }
        assert_eq!(ran(Err(Errno::FAULT)), Ok(Ran::Fault));
        for errno in [
            Errno::BADF,
            Errno::NOMEM,
            Errno::IO,
            Errno::INVAL,
            Errno::HWPOISON,
        ] {
            assert_eq!(ran(Err(errno)), Err(errno));
        }
    }
}
