//! The gate: every command of every judge comes through here, once, before anything runs. Owns
//! the order of audit, yes or no, and doing it; never knows what a command does.

use oriel_protocol::{
    Admission, CommandId, EventKind, Gpa, Refusal, ServiceCall, Span, VcpuCall, VmCall,
    commands::{ServiceReply, VcpuReply, VmReply, vcpu::GetRegisters},
    x86::Control,
};

use super::Desk;
use crate::{
    audit::{Audited, Command, Opened},
    record::{Record, Refused},
    resolve::{self, Resolved},
};

/// Memory behind virtual addresses: where each piece is, and its bytes.
pub(crate) type Pieces = Vec<(Gpa, usize)>;

impl Desk {
    /// The gate, for a command that arms a kind of event: it must be granted, and be one that the
    /// judge answers.
    pub(super) fn admit_arming(&self, id: CommandId, kind: EventKind) -> Result<(), Refusal> {
        let caller = self.asking()?;
        let may = caller.grant.events.contains(kind) && caller.judges.contains(kind);
        self.answer_for(id, if may { Ok(()) } else { Err(Refusal::Denied) })
    }

    /// The gate for the arguments of a tool's command, whose session has let the command through.
    pub(crate) fn admit_vm_arguments(&self, call: &VmCall) -> Result<(), Refusal> {
        let answer = self.asking()?.grant.admit_vm_arguments(call);
        self.answer_for(CommandId::Vm(call.id()), answer)
    }

    /// The same for a vCPU's. `control` asks for the registers by which addresses are translated.
    pub(crate) fn admit_vcpu_arguments(
        &mut self,
        call: &VcpuCall,
        control: impl FnOnce() -> Result<Control, Refusal>,
    ) -> Result<Option<Pieces>, Refusal> {
        let answer = self.asking()?.grant.admit_vcpu_arguments(call);
        let id = CommandId::Vcpu(call.id());
        match self.answer_for(id, answer)? {
            Admission::Whole => Ok(None),
            Admission::Pages(span) => self.admit_pages(id, &span, &control()?).map(Some),
        }
    }

    fn admit_vcpu(&mut self, vcpu: u32, call: &VcpuCall) -> Result<Option<Pieces>, Refusal> {
        let answer = self.asking()?.grant.admit_vcpu(call);
        let id = CommandId::Vcpu(call.id());
        match self.answer_for(id, answer)? {
            Admission::Whole => Ok(None),
            Admission::Pages(span) => {
                let control = self.control_of(vcpu)?;
                self.admit_pages(id, &span, &control).map(Some)
            }
        }
    }

    /// The pages themselves. What is done is done to these: the guest may change its tables
    /// meanwhile.
    fn admit_pages(
        &mut self,
        id: CommandId,
        span: &Span,
        control: &Control,
    ) -> Result<Pieces, Refusal> {
        let memory = self.shared.machine.memory();
        let pieces = resolve::pieces(memory, &mut self.walks, control, span);
        let grant = &self.asking()?.grant;
        let answer = pieces.and_then(|found| grant.admit_pages(span, &found).map(|()| found));
        self.answer_for(id, answer)
    }

    /// The control registers of any vCPU.
    fn control_of(&mut self, vcpu: u32) -> Result<Control, Refusal> {
        if vcpu == self.index() {
            return self.control();
        }
        if vcpu >= self.shared.vcpus {
            return Err(Refusal::NotFound);
        }
        let asked = VcpuCall::GetRegisters(GetRegisters { msrs: Vec::new() });
        resolve::control(self.ask(vcpu, asked)?)
    }

    /// Tells of a no.
    fn answer_for<T>(&self, command: CommandId, answer: Result<T, Refusal>) -> Result<T, Refusal> {
        answer.inspect_err(|&refusal| {
            let Ok(caller) = self.asking() else { return };
            let (judge, moment) = (caller.name.clone(), self.moment);
            self.shared.tell(|| {
                Record::Refusal(Refused {
                    judge,
                    moment,
                    command,
                    refusal,
                    with: None,
                })
            });
        })
    }

    fn run_vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        let answer = self.asking()?.grant.admit_vm(&call);
        self.answer_for(CommandId::Vm(call.id()), answer)?;
        call.run(self)
    }

    fn run_vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        let pieces = self.admit_vcpu(vcpu, &call)?;
        if vcpu >= self.shared.vcpus {
            return Err(Refusal::NotFound);
        }
        let call = match pieces {
            None => call,
            Some(pieces) => match resolve::resolve(self.shared.machine.memory(), call, &pieces) {
                Resolved::Answered(answer) => return answer,
                Resolved::Instead(call) => call,
            },
        };
        if vcpu == self.index() {
            call.run(self)
        } else {
            self.ask(vcpu, call)
        }
    }

    fn run_service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        let answer = self.asking()?.grant.admit_service(&call);
        self.answer_for(CommandId::Service(call.id()), answer)?;
        call.run(self)
    }
}

/// Where there is an audit trail, a command is announced to it before the gate, and answered for
/// behind it.
impl Desk {
    /// Announces a command of the judge that asks. None: there is no trail.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if the trail takes nothing more, and the operator wants no
    /// command that is not in it.
    pub(crate) fn announce<C: Audited>(
        &mut self,
        on: Option<u32>,
        call: &C,
    ) -> Result<Option<Opened>, Refusal> {
        let Some(audit) = self.shared.audit.clone() else {
            return Ok(None);
        };
        let (who, moment) = (self.asking()?.who(), self.moment);
        let opened = audit.announce(who, moment, on, call, &mut self.reads);
        self.answer_for(call.id(), opened).map(Some)
    }

    /// Answers for a command that was announced.
    pub(crate) fn account<T>(&mut self, opened: Option<Opened>, answer: &Result<T, Refusal>) {
        if let Some(opened) = opened {
            opened.answered(answer.as_ref().map(drop).map_err(|&no| no), &mut self.reads);
        }
    }

    /// A command that its session has refused.
    pub(crate) fn account_for_refused(&mut self, id: CommandId) {
        let (Some(audit), Ok(caller)) = (self.shared.audit.clone(), self.asking()) else {
            return;
        };
        let command = Command {
            who: caller.who(),
            moment: self.moment,
            name: id.name(),
            on: None,
            arguments: serde_json::Map::new(),
        };
        audit.note(command, Err(Refusal::Denied));
    }

    /// Runs a command between the two.
    fn audited<C: Audited, T>(
        &mut self,
        on: Option<u32>,
        call: C,
        run: impl FnOnce(&mut Self, C) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let opened = self.announce(on, &call)?;
        let answer = run(self, call);
        self.account(opened, &answer);
        answer
    }
}

impl oriel_policy::Desk for Desk {
    fn vm(&mut self, call: VmCall) -> Result<VmReply, Refusal> {
        if self.shared.audit.is_none() {
            return self.run_vm(call);
        }
        self.audited(None, call, Self::run_vm)
    }

    fn vcpu(&mut self, vcpu: u32, call: VcpuCall) -> Result<VcpuReply, Refusal> {
        if self.shared.audit.is_none() {
            return self.run_vcpu(vcpu, call);
        }
        self.audited(Some(vcpu), call, |desk, call| desk.run_vcpu(vcpu, call))
    }

    fn service(&mut self, call: ServiceCall) -> Result<ServiceReply, Refusal> {
        if self.shared.audit.is_none() {
            return self.run_service(call);
        }
        self.audited(None, call, Self::run_service)
    }
}
