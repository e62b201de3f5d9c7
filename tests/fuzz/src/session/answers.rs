//! What a machine might answer: a refusal now and then, else data of the size that was asked for,
//! or made of the bytes that happen to follow.

use oriel_protocol::{
    Access, Dialect, Refusal, VcpuCall, VmCall,
    commands::{VcpuReply, VmReply, vcpu::Registers},
    kvmi::{
        bytes::Reader,
        frame::{HEADER, Header, VCPU_HEADER},
        tool,
    },
    page::PAGE_SIZE,
};

use crate::input::Input;

/// Room for each answer of a fixed size but the registers.
const SOME: usize = 64;

/// A refusal for one in four sequence numbers.
fn refusal(seq: u32) -> Option<Refusal> {
    let which = usize::try_from(seq / 4).ok()? % Refusal::ALL.len();
    (seq % 4 == 3).then_some(Refusal::ALL[which])
}

/// What a machine might answer to a command for the VM.
pub(super) fn vm(
    dialect: Dialect,
    seq: u32,
    call: &VmCall,
    rest: &[u8],
) -> Result<VmReply, Refusal> {
    if let Some(refusal) = refusal(seq) {
        return Err(refusal);
    }
    if let VmCall::ReadPhysical(request) = call {
        assert!((1..=PAGE_SIZE).contains(&request.length.into()));
        let length = usize::try_from(request.length).expect("at most a page");
        // Now and then a byte too few, which must not reach a tool.
        let missing = usize::from(seq % 4 == 2);
        return Ok(VmReply::ReadPhysical(vec![0x5a; length - missing]));
    }
    if let VmCall::GetPageAccess(request) = call {
        let all = vec![Access::ALL; request.gpas.len()];
        return Ok(VmReply::GetPageAccess(all));
    }
    let bytes = some_bytes(rest);
    VmReply::decode(call.id(), &mut Reader::new(dialect, &bytes)).map_err(|_| Refusal::Limit)
}

/// What a machine might answer to a command for a vCPU.
pub(super) fn vcpu(
    dialect: Dialect,
    seq: u32,
    call: &VcpuCall,
    rest: &[u8],
) -> Result<VcpuReply, Refusal> {
    if let Some(refusal) = refusal(seq) {
        return Err(refusal);
    }
    if let VcpuCall::GetRegisters(request) = call {
        let registers = Registers {
            msrs: request.msrs.iter().map(|&msr| (msr, 1)).collect(),
            ..Registers::default()
        };
        return Ok(VcpuReply::GetRegisters(Box::new(registers)));
    }
    let bytes = some_bytes(rest);
    VcpuReply::decode(call.id(), &mut Reader::new(dialect, &bytes)).map_err(|_| Refusal::Limit)
}

fn some_bytes(rest: &[u8]) -> [u8; SOME] {
    Input::new(rest).array()
}

/// A tool that writes the command as it was read sends the same command.
pub(super) fn vm_again(dialect: Dialect, header: Header, call: &VmCall) {
    assert_eq!(call.id().numbers().of(dialect), Some(header.id));
    let sent = tool::command_vm(dialect, header.seq, call).expect("what was short enough is");
    let mut from = Reader::new(dialect, &sent[HEADER..]);
    assert_eq!(VmCall::decode(call.id(), &mut from).as_ref(), Ok(call));
}

/// A tool that writes the command as it was read sends the same command to the same vCPU.
pub(super) fn vcpu_again(dialect: Dialect, header: Header, vcpu: u32, call: &VcpuCall) {
    assert_eq!(call.id().numbers().of(dialect), Some(header.id));
    let number = u16::try_from(vcpu).expect("one of ours");
    let sent = tool::command_vcpu(dialect, header.seq, number, call);
    let sent = sent.expect("what was short enough is");
    let mut from = Reader::new(dialect, &sent[HEADER + VCPU_HEADER..]);
    assert_eq!(VcpuCall::decode(call.id(), &mut from).as_ref(), Ok(call));
}
