//! The end of introspection on one vCPU of an embedder, however it comes: what was told to KVM of this
//! vCPU alone is taken back, and the VMM can run it without us. What all vCPUs share is undone by
//! whoever has armed it.

use kvm_bindings::kvm_guest_debug;
use rustix::io::Errno;

use super::EmbeddedVcpu;
use crate::{
    Vcpu as _,
    kvm::{sys::page::Pieces, tapped::Tapped as _},
};

impl Drop for EmbeddedVcpu {
    /// Waits for nobody, as this may be the thread that others wait for.
    fn drop(&mut self) {
        self.come_out();
        let index = self.index();
        let (tap, fd) = self.tapped();
        tap.page.ask_for(Pieces::NONE);
        if let Err(error) = fd.set_guest_debug(&kvm_guest_debug::default()) {
            tracing::warn!(vcpu = index, %error, "the vCPU stays debugged");
        }
        tap.kick().let_go();
    }
}

impl EmbeddedVcpu {
    /// A loop that was left between `ready` and `ran`, by a panic or in a hurry, has left the vCPU
    /// noted as inside, and those who arm, or hold the others, would wait for it.
    fn come_out(&mut self) {
        let interrupted = kvm_ioctls::Error::new(Errno::INTR.raw_os_error());
        // An interruption is no failure.
        let _ = self.ran(Err(interrupted));
    }
}
