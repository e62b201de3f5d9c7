//! Has a function of the kernel return an errno instead of running. Owns the registers for it;
//! decides for no exec, and is used at points that can refuse only.

use oriel_sdk::{GeneralRegisters, ReadStructures, Refusal, RegistersRead, RegistersWrite};

/// Lets the function at whose first instruction the vCPU stands return minus `errno`. Nothing of it
/// has run, so that there is nothing to undo. If it fails, everything is as it was.
pub(crate) fn with(
    errno: u64,
    vcpu: u32,
    host: &mut (impl ReadStructures + RegistersRead + RegistersWrite),
) -> Result<(), Refusal> {
    let before = host.get_registers(vcpu)?;
    let caller = host.read_value(vcpu, before.rsp)?;
    let after = GeneralRegisters {
        rax: errno.wrapping_neg(),
        rsp: before.rsp.wrapping_add(8),
        rip: caller,
        ..before
    };
    host.set_registers(vcpu, after).inspect_err(|_| {
        // Another judge has set one of them; what was set before it goes back.
        let _ = host.set_registers(vcpu, before);
    })
}
