//! The exits that are the VMM's own business: devices, halts, ends.

use kvm_bindings::{KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN};
use oriel_protocol::{EventKind, events::ShutdownCause};

use super::{KvmVcpu, run::Next};
use crate::{
    End, Exit,
    kvm::{
        bus::Effect,
        exit::RawExit,
        failure::{self, Scene},
        pending::Pending,
    },
};

impl KvmVcpu {
    pub(super) fn serve(&mut self, exit: &RawExit) -> Next {
        match exit {
            RawExit::Port(_) | RawExit::Memory { .. } => {
                let effect = self.tap.serve(&self.vm.devices, exit);
                self.asked(effect)
            }
            RawExit::Halt => self.halt(),
            RawExit::Shutdown => self.end(End::Shutdown(ShutdownCause::TripleFault)),
            RawExit::System(KVM_SYSTEM_EVENT_SHUTDOWN) => {
                let cause = ShutdownCause::Request;
                self.shut_down(cause, End::Shutdown(cause))
            }
            RawExit::System(KVM_SYSTEM_EVENT_RESET) => self.asked(Effect::Reset),
            RawExit::Interrupted => Next::Run,
            RawExit::Msr(_) | RawExit::Internal(_) | RawExit::System(_) | RawExit::FailEntry(_) => {
                self.end_by(|scene| failure::end(exit, scene))
            }
            RawExit::Debug(_) | RawExit::Fault | RawExit::Other(_) => {
                self.end_by(|scene| failure::end(exit, scene))
            }
        }
    }

    /// What the guest has asked of the VMM through a device.
    pub(super) fn asked(&mut self, effect: Effect) -> Next {
        match effect {
            Effect::None => Next::Run,
            Effect::End(status) => self.shut_down(ShutdownCause::Request, End::Finished(status)),
            Effect::Reset => match self.tap.raise_if_wanted(EventKind::Reset, Pending::Reset) {
                Some(event) => Next::Leave(Exit::Event(event)),
                None => {
                    self.must_reset = true;
                    Next::Run
                }
            },
        }
    }

    fn halt(&mut self) -> Next {
        if self.vm.world.halt(self.index) {
            let cause = ShutdownCause::Halted;
            self.shut_down(cause, End::Shutdown(cause))
        } else {
            Next::Run
        }
    }

    /// If no vCPU has anything to do, nor will have, that is the end. KVM waits for interrupts, so
    /// it is asked.
    pub(super) fn look(&mut self) -> Next {
        let vm = self.vm.clone();
        let Some(rests) = vm.rests.as_ref().filter(|rests| rests.all()) else {
            return Next::Run;
        };
        // With all of them out of the guest, nobody wakes another meanwhile.
        let Ok(_hold) = vm.world.hold_others(self.index) else {
            return Next::Run;
        };
        if !rests.may_tell() {
            return Next::Run;
        }
        let cause = ShutdownCause::Halted;
        self.shut_down(cause, End::Shutdown(cause))
    }

    /// The VM ends, unless somebody who wants to hear of it says otherwise.
    fn shut_down(&mut self, cause: ShutdownCause, end: End) -> Next {
        let pending = Pending::Shutdown {
            cause,
            end: end.clone(),
        };
        match self.tap.raise_if_wanted(EventKind::Shutdown, pending) {
            Some(event) => Next::Leave(Exit::Event(event)),
            None => self.end(end),
        }
    }

    /// The VM ends in a way that takes a look at the vCPU to put into words.
    pub(super) fn end_by(&self, tell: impl FnOnce(&Scene<'_>) -> End) -> Next {
        let sregs = self.tap.page.sregs();
        self.end(tell(&Scene {
            memory: &*self.vm.memory,
            sregs: &sregs,
            ip: self.tap.page.rip(),
            vcpu: self.index,
        }))
    }

    /// The VM ends; the first end stands, for all vCPUs.
    pub(super) fn end(&self, end: End) -> Next {
        Next::Leave(Exit::Ended(self.vm.world.finish(end)))
    }
}
