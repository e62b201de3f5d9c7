//! Where a tool's command is not quite a policy's: the KVMI rules that need the VM to be known.
//! What a message alone shows to be wrong never gets here.

use oriel_protocol::{
    Dialect, EventKind, Refusal, VcpuCall, VmCall,
    commands::{
        VcpuId, VcpuReply, VmReply,
        vcpu::InjectException,
        vm::{ControlCleanup, SetPageAccess, Version, WritePhysical},
    },
};

use super::{link::Lane, receiver::Receiver, seat::Seat};
use crate::desk::Desk;

/// Runs a command of a tool on the vCPU's thread.
#[expect(clippy::wildcard_enum_match_arm, reason = "only what differs is named")]
pub(crate) fn run(seat: &Seat, desk: &mut Desk, call: VcpuCall) -> Result<VcpuReply, Refusal> {
    // If it has gone, it would leave behind what it arms.
    let link = seat.link().ok_or(Refusal::Gone)?;
    let lane = link.lane(desk.index()).ok_or(Refusal::NotFound)?;
    match call {
        VcpuCall::SetRegisters(_) if !desk.is_answering() => set_registers_outside(seat),
        VcpuCall::InjectException(request) => inject(seat, lane, desk, request),
        call => {
            if matches!(call, VcpuCall::ControlSinglestep(_)) {
                // What the tool says about stepping counts from now on.
                lane.end_step();
            }
            let id = call.id();
            call.run(desk).or_else(|refusal| leniently(id, refusal))
        }
    }
}

/// Registers are set when the event that is open is answered; without one there is nothing to
/// wait for. The v6 kernels say nothing and do nothing.
const fn set_registers_outside(seat: &Seat) -> Result<VcpuReply, Refusal> {
    match seat.settings.dialect {
        Dialect::Rfc6 | Dialect::V6 => Ok(VcpuReply::SetRegisters(())),
        Dialect::V7 | Dialect::V12 => Err(Refusal::Unsupported),
    }
}

/// Injects, and has the tool told by a `trap` event what the guest really gets.
fn inject(
    seat: &Seat,
    lane: &Lane,
    desk: &mut Desk,
    request: InjectException,
) -> Result<VcpuReply, Refusal> {
    let vector = request.exception.vector;
    let answer = VcpuCall::InjectException(request).run(desk)?;
    lane.set_injected(vector);
    if seat.settings.tells_every_trap() {
        desk.await_trap(true)?;
    }
    Ok(answer)
}

/// What is no error on a KVMI kernel, or another one.
fn leniently(id: VcpuId, refusal: Refusal) -> Result<VcpuReply, Refusal> {
    if id == VcpuId::GetVcpuInfo {
        // 0 Hz: unknown.
        return Ok(VcpuReply::GetVcpuInfo(0));
    }
    if id == VcpuId::GetRegisters && refusal == Refusal::NotFound {
        // An MSR that does not exist.
        return Err(Refusal::Invalid);
    }
    Err(refusal)
}

/// Runs a command of a tool for the VM.
#[expect(clippy::wildcard_enum_match_arm, reason = "only what differs is named")]
pub(super) fn run_for_vm(receiver: &mut Receiver, call: VmCall) -> Result<VmReply, Refusal> {
    match call {
        VmCall::GetVersion(_) => Ok(VmReply::GetVersion(version(receiver))),
        VmCall::ControlCleanup(ControlCleanup { enable }) => {
            receiver.link.set_cleanup(enable);
            Ok(VmReply::ControlCleanup(()))
        }
        VmCall::SetPageAccess(request) => set_pages(receiver, request).map(VmReply::SetPageAccess),
        VmCall::WritePhysical(request) => write(receiver, request),
        other => admitted(receiver, other),
    }
}

/// Runs what the session has let through the gate.
fn admitted(receiver: &mut Receiver, call: VmCall) -> Result<VmReply, Refusal> {
    receiver.desk.open(receiver.caller, receiver.moment());
    call.run(&mut *receiver.desk)
}

/// What the hardware helps with: of KVMI's list, nothing but single-step exists here.
fn version(receiver: &Receiver) -> Version {
    let machine = &receiver.shared().machine;
    Version {
        version: 1,
        singlestep: machine.capabilities().reports(EventKind::Singlestep),
        ..Version::default()
    }
}

/// A breakpoint that the tool writes by itself is taken note of.
fn write(receiver: &mut Receiver, request: WritePhysical) -> Result<VmReply, Refusal> {
    let machine = receiver.shared().machine.clone();
    // Held until it is written, so that nothing is taken back in between.
    let link = receiver.link.clone();
    let mut planted = link.planted();
    planted.note(machine.memory(), request.gpa, &request.bytes)?;
    admitted(receiver, VmCall::WritePhysical(request))
}

/// Pages that are not there: an error from v12 on, and else a rule that nothing ever meets. The
/// others are set all the same.
fn set_pages(receiver: &mut Receiver, request: SetPageAccess) -> Result<(), Refusal> {
    let machine = receiver.shared().machine.clone();
    let SetPageAccess { view, entries } = request;
    let wanted = entries.len();
    let there = entries
        .into_iter()
        .filter(|rule| machine.memory().covers(rule.gpa, 1));
    let entries: Vec<_> = there.collect();
    let missing = entries.len() < wanted;
    admitted(
        receiver,
        VmCall::SetPageAccess(SetPageAccess { view, entries }),
    )?;
    if missing && receiver.seat.settings.dialect == Dialect::V12 {
        return Err(Refusal::Invalid);
    }
    Ok(())
}
