//! Exceptions that judges ask for, and the `trap` events that tell of them.
//!
//! One can be in the air at a time. A fault that the guest's own instruction raises meanwhile takes
//! its place, and is what is told.

use kvm_bindings::kvm_vcpu_events;
use kvm_ioctls::VcpuFd;
use oriel_protocol::{EventKind, Refusal, x86::Exception};

use super::Tap;
use crate::{
    MachineError,
    kvm::pending::{Pending, can_raise},
};

const PAGE_FAULT: u8 = 14;

impl Tap {
    /// Has an exception raised at the next entry, for a command.
    pub(in crate::kvm) fn stage(&mut self, exception: Exception) -> Result<(), Refusal> {
        let coded = Exception::vector_has_error_code(exception.vector);
        if !can_raise(exception) || coded != exception.error_code.is_some() {
            return Err(Refusal::Invalid);
        }
        if self.staged.is_some() || delivers(&self.page.events()) {
            return Err(Refusal::Busy);
        }
        self.staged = Some(exception);
        Ok(())
    }

    /// Raises what a command has asked for, unless the instruction that was open has faulted.
    pub(super) fn raise_staged(
        &mut self,
        vcpu: &VcpuFd,
        exception: Exception,
    ) -> Result<(), MachineError> {
        if self.page.events().exception.injected == 0 {
            self.raise_exception(vcpu, exception)?;
        }
        self.untold = true;
        Ok(())
    }

    /// Raises what a verdict has asked for.
    pub(super) fn raise_asked(
        &mut self,
        vcpu: &VcpuFd,
        exception: Exception,
    ) -> Result<(), MachineError> {
        self.staged = None;
        self.untold = true;
        self.raise_exception(vcpu, exception)
    }

    /// Has an exception raised at the next entry (KVM API, 4.32). What a vector pushes is the
    /// processor's to say, not a judge's.
    ///
    /// KVM takes #BP and #OF to be raised by an instruction: on VMX the guest is shown an address
    /// behind it, by the length of the last one that exited.
    pub(super) fn raise_exception(
        &mut self,
        vcpu: &VcpuFd,
        exception: Exception,
    ) -> Result<(), MachineError> {
        if exception.vector == PAGE_FAULT {
            let mut sregs = self.page.sregs();
            sregs.cr2 = exception.address;
            vcpu.set_sregs(&sregs)
                .map_err(|errno| self.error("setting CR2", errno))?;
            self.page.note_sregs(&sregs);
        }
        let mut events: kvm_vcpu_events = self.page.events();
        events.exception.injected = 1;
        events.exception.pending = 0;
        events.exception.nr = exception.vector;
        let coded = Exception::vector_has_error_code(exception.vector);
        events.exception.has_error_code = u8::from(coded);
        events.exception.error_code = exception.error_code.filter(|_| coded).unwrap_or_default();
        self.page.set_events(&events);
        Ok(())
    }

    /// If the next entry delivers an exception that was asked for, and somebody wants to hear of
    /// it, that comes first.
    pub(super) fn tell_delivery(&mut self) {
        if !std::mem::take(&mut self.untold) {
            return;
        }
        self.refresh();
        let exception = self.page.events().exception;
        if exception.injected != 0 && self.armed.wants.kind(EventKind::Trap) {
            let fault = exception.nr == PAGE_FAULT;
            self.own = Some(Box::new(Pending::Trap(Exception {
                vector: exception.nr,
                error_code: (exception.has_error_code != 0).then_some(exception.error_code),
                address: if fault { self.page.sregs().cr2 } else { 0 },
            })));
        }
    }
}

/// Whether the next entry delivers something already. KVM delivers one thing at an entry, and
/// would lose an interrupt whose delivery it has begun.
const fn delivers(events: &kvm_vcpu_events) -> bool {
    events.exception.injected != 0
        || events.exception.pending != 0
        || events.interrupt.injected != 0
        || events.nmi.injected != 0
}
