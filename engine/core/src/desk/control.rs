//! Commands that stop and resume vCPUs, and asking another vCPU's thread. A vCPU that waits
//! serves its mailbox meanwhile, so two that ask each other both get an answer.

use std::time::{Duration, Instant};

use oriel_protocol::{
    Handle, Refusal,
    commands::{
        VcpuCall, VcpuReply,
        vm::{PauseOthers, PauseVcpu, Resume},
    },
};

use super::Desk;
use crate::mail::{Answer, Mail, Pauser};

impl Desk {
    /// Has another vCPU's thread run a command.
    pub(super) fn ask(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        let (ticket, home) = self.ticket();
        let reply = Box::new(move |answer| home(Answer::Call(answer)));
        self.shared.post_to_vcpu(
            vcpu,
            Mail::Call {
                caller: self.caller,
                call,
                reply,
            },
        )?;
        match self.await_answer(ticket)? {
            Answer::Call(answer) => answer,
            Answer::Pause(_) | Answer::Look(_) | Answer::Kernel(_) => Err(Refusal::Invalid),
        }
    }

    fn pause(&mut self, vcpu: u32) -> Result<(), Refusal> {
        let (ticket, home) = self.ticket();
        let reply = Box::new(move |answer| home(Answer::Pause(answer)));
        let by = Pauser::Judge { vcpu: self.index() };
        self.shared.post_to_vcpu(vcpu, Mail::Pause { by, reply })?;
        // Whether or not it answers in time, the pause is in its mailbox.
        self.paused.push(vcpu);
        match self.await_answer(ticket)? {
            Answer::Pause(answer) => answer,
            Answer::Call(_) | Answer::Look(_) | Answer::Kernel(_) => Err(Refusal::Invalid),
        }
    }

    /// A number for an answer, and the way that it comes home.
    pub(super) fn ticket(&mut self) -> (u64, impl FnOnce(Answer) + Send + 'static) {
        let (ticket, me, shared) = (self.new_ticket(), self.index(), self.shared.clone());
        (ticket, move |answer| {
            // If this vCPU has ended meanwhile, nobody waits for the answer.
            let _ = shared.post(me, Mail::Answer(ticket, answer));
        })
    }

    pub(super) fn await_answer(&mut self, ticket: u64) -> Result<Answer, Refusal> {
        self.await_for(ticket, self.shared.settings.other_vcpu)
    }

    /// The same, for so long.
    pub(super) fn await_for(&mut self, ticket: u64, within: Duration) -> Result<Answer, Refusal> {
        let deadline = Instant::now() + within;
        let mailbox = self.mailbox.clone();
        let answer = mailbox.wait_for(deadline, |mail| {
            if let Mail::Answer(number, answer) = mail {
                return (number == ticket).then_some(answer);
            }
            self.serve(mail);
            None
        });
        answer.ok_or(Refusal::Busy)
    }
}

impl Handle<PauseVcpu> for Desk {
    fn handle(&mut self, request: PauseVcpu) -> Result<(), Refusal> {
        if request.vcpu >= self.shared.vcpus {
            return Err(Refusal::NotFound);
        }
        // The vCPU of the event is out of the guest already.
        if request.vcpu == self.index() {
            Ok(())
        } else {
            self.pause(request.vcpu)
        }
    }
}

impl Handle<PauseOthers> for Desk {
    fn handle(&mut self, _: PauseOthers) -> Result<(), Refusal> {
        if self.hold.is_none() {
            self.hold = Some(self.shared.machine.hold_others(self.index())?);
        }
        Ok(())
    }
}

impl Handle<Resume> for Desk {
    fn handle(&mut self, _: Resume) -> Result<(), Refusal> {
        self.close();
        Ok(())
    }
}
