//! What a tool sends, put together message by message, in the form that the target `session`
//! reads.

use oriel_protocol::{
    Dialect, EventKind, Request, VcpuCall, VmCall, commands,
    kvmi::{Action, Body, EventReply, frame, tool},
};

use crate::session::DIRECTION;

/// A conversation.
#[derive(Clone, Debug)]
pub(super) struct Script {
    dialect: Dialect,
    seq: u32,
    bytes: Vec<u8>,
}

impl Script {
    /// With everything allowed, on two vCPUs.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self::forbidding(dialect, 0, 0)
    }

    /// Without the commands and events of these numbers on the wire, one a bit.
    pub(super) fn forbidding(dialect: Dialect, commands: u64, events: u32) -> Self {
        let two_vcpus = 1 << 2;
        let mut bytes = vec![dialect as u8 | two_vcpus];
        bytes.extend(commands.to_le_bytes());
        bytes.extend(events.to_le_bytes());
        Self {
            dialect,
            seq: 0,
            bytes,
        }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The tool sends any message.
    pub(super) fn raw(mut self, id: u16, payload: &[u8]) -> Self {
        self.seq += 1;
        self.bytes.extend(tool::raw(id, self.seq, payload));
        self
    }

    /// The tool sends a command for the VM.
    pub(super) fn vm<R: Request<Scope = commands::Vm>>(self, request: R) -> Self {
        let call: VmCall = request.into_call();
        self.command(|dialect, seq| tool::command_vm(dialect, seq, &call))
    }

    /// The tool sends a command for a vCPU.
    pub(super) fn vcpu<R: Request<Scope = commands::Vcpu>>(self, vcpu: u16, request: R) -> Self {
        let call: VcpuCall = request.into_call();
        self.command(|dialect, seq| tool::command_vcpu(dialect, seq, vcpu, &call))
    }

    fn command(mut self, write: impl FnOnce(Dialect, u32) -> Option<Vec<u8>>) -> Self {
        self.seq += 1;
        let message = write(self.dialect, self.seq);
        self.bytes
            .extend(message.expect("the dialect has the command"));
        self
    }

    /// A vCPU sends an event.
    pub(super) fn event(mut self, vcpu: u8, seq: u32, kind: EventKind) -> Self {
        let direction = frame::message(DIRECTION, seq, &[vcpu, kind as u8]);
        self.bytes.extend(direction);
        self
    }

    /// The tool answers it.
    pub(super) fn answer(
        mut self,
        vcpu: u16,
        seq: u32,
        kind: EventKind,
        reply: (Action, Body),
    ) -> Self {
        let (action, body) = reply;
        let reply = EventReply { action, body };
        let message = tool::answer(self.dialect, vcpu, seq, kind, &reply);
        self.bytes
            .extend(message.expect("the dialect has the event"));
        self
    }

    /// A vCPU sends an event, which the tool lets happen.
    pub(super) fn passes(self, vcpu: u8, seq: u32, kind: EventKind, body: Body) -> Self {
        let go_on = (Action::Continue, body);
        self.event(vcpu, seq, kind)
            .answer(vcpu.into(), seq, kind, go_on)
    }
}
