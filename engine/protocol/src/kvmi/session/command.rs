//! A command on its way in: granted, read, checked, and out with a ticket. It owns the order of
//! these steps.

use super::{Intake, Session, own::answered};
use crate::{
    CommandId, VcpuCall, VmCall,
    commands::{VcpuId, VmId},
    kvmi::{
        Close, Errno, Flaw, Ticket,
        bytes::Reader,
        checks::Rules,
        frame::{self, Header},
        ticket::Replies,
    },
};

impl Session {
    pub(super) fn vm(&mut self, header: Header, id: VmId, payload: &[u8]) -> Result<Intake, Close> {
        let command = CommandId::Vm(id);
        if !self.is_granted(command) {
            return self.denied(header, command);
        }
        let mut from = Reader::new(self.dialect, payload);
        let ticket = self.ticket(header, command);
        if id == VmId::CheckCommand {
            return answered(ticket, self.check_command(&mut from));
        }
        if id == VmId::CheckEvent {
            return answered(ticket, self.check_event(&mut from));
        }
        if id == VmId::ControlCommandResponse {
            return self.switch_replies(ticket, &mut from);
        }
        match self.vm_call(id, &mut from) {
            Ok(call) => Ok(Intake::Vm(ticket.expecting(expected_of_vm(&call)), call)),
            Err(Flaw::Errno(Errno::PERM)) if id == VmId::PauseVcpu => self.denied(header, command),
            Err(flaw) => answered(ticket, Err(flaw)),
        }
    }

    fn vm_call(&self, id: VmId, from: &mut Reader<'_>) -> Result<VmCall, Flaw> {
        let call = VmCall::decode(id, from)?;
        self.rules().vm(&call)?;
        self.can_be_answered(id.returns_data(), id.name())?;
        Ok(call)
    }

    pub(super) fn vcpu(&self, header: Header, id: VcpuId, payload: &[u8]) -> Result<Intake, Close> {
        let command = CommandId::Vcpu(id);
        if !self.is_granted(command) {
            return self.denied(header, command);
        }
        let mut from = Reader::new(self.dialect, payload);
        let ticket = self.ticket(header, command);
        match self.vcpu_call(id, &mut from) {
            Ok((vcpu, call)) => Ok(Intake::Vcpu(
                ticket.expecting(expected_of_vcpu(&call)),
                vcpu,
                call,
            )),
            Err(flaw) => answered(ticket, Err(flaw)),
        }
    }

    fn vcpu_call(&self, id: VcpuId, from: &mut Reader<'_>) -> Result<(u32, VcpuCall), Flaw> {
        let vcpu = frame::take_vcpu(from, id.name())?;
        if vcpu >= self.vcpus {
            return Err(Errno::INVAL.into());
        }
        let call = VcpuCall::decode(id, from)?;
        self.rules().vcpu(&call)?;
        self.can_be_answered(id.returns_data(), id.name())?;
        Ok((vcpu, call))
    }

    /// While replies are off, a command that asks for data ends the connection.
    fn can_be_answered(&self, returns_data: bool, command: &'static str) -> Result<(), Close> {
        match self.replies {
            Replies::Off | Replies::Errors if returns_data => Err(Close::Silenced { command }),
            Replies::On | Replies::Off | Replies::Errors => Ok(()),
        }
    }

    const fn rules(&self) -> Rules<'_> {
        Rules {
            dialect: self.dialect,
            grant: &self.grant,
            vcpus: self.vcpus,
        }
    }

    const fn ticket(&self, header: Header, command: CommandId) -> Ticket {
        Ticket {
            dialect: self.dialect,
            header,
            command,
            replies: self.replies,
            expected: None,
        }
    }
}

/// Bytes of data that the tool will insist on.
fn expected_of_vm(call: &VmCall) -> Option<usize> {
    if let VmCall::ReadPhysical(request) = call {
        return usize::try_from(request.length).ok();
    }
    if let VmCall::GetPageAccess(request) = call {
        return Some(request.gpas.len());
    }
    if let VmCall::GetPageWriteBitmap(request) = call {
        return Some(size_of::<u32>() * request.gpas.len());
    }
    None
}

/// Bytes of data that the tool will insist on.
fn expected_of_vcpu(call: &VcpuCall) -> Option<usize> {
    if let VcpuCall::GetRegisters(request) = call {
        return Some(request.answer_size());
    }
    None
}
