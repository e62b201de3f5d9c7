//! Calls of the guest's that a policy answers itself. Owns the registers of it; whether a function may
//! be answered for is the policy's to know.

use crate::{GeneralRegisters, ReadStructures, Refusal, RegistersRead, RegistersWrite};

/// Answers calls in a guest's stead. Every host that reads memory, and reads and writes registers, has it.
///
/// ```
/// use oriel_sdk::testing::MockEngine;
/// use oriel_sdk::{AnswerCalls, Refusal, Register, RegistersRead};
///
/// let mut host = MockEngine::default();
/// let (cr3, stack, caller) = (0x10_0000, 0xffff_c900_0000_0ff0, 0xffff_ffff_8300_0000_u64);
/// host.memory.map(cr3, stack, 0x5000);
/// host.memory.poke(0x5ff0, &caller.to_le_bytes())?;
/// host.vcpus[0].registers.insert(Register::Cr3, cr3);
/// host.vcpus[0].registers.insert(Register::Rsp, stack);
/// // Minus EPERM.
/// host.answer_call(0, 1_u64.wrapping_neg())?;
/// assert_eq!(host.get_register(0, Register::Rip), Ok(caller));
/// assert_eq!(host.get_register(0, Register::Rsp), Ok(stack + 8));
/// assert_eq!(host.get_register(0, Register::Rax), Ok(u64::MAX));
/// # Ok::<(), Refusal>(())
/// ```
pub trait AnswerCalls: ReadStructures + RegistersRead + RegistersWrite {
    /// Lets the function at whose first instruction the vCPU stands return `result` (RAX) to its caller.
    /// Nothing of it has run: the function must own nothing that it was handed. Answer the event with
    /// `retry` then, as the vCPU is elsewhere.
    ///
    /// # Errors
    /// As the three rights; `conflict`, if another judge has set one of the registers. Then everything
    /// is as it was.
    fn answer_call(&mut self, vcpu: u32, result: u64) -> Result<(), Refusal> {
        let before = self.get_registers(vcpu)?;
        let caller = self.read_value(vcpu, before.rsp)?;
        let after = GeneralRegisters {
            rax: result,
            rsp: before.rsp.wrapping_add(8),
            rip: caller,
            ..before
        };
        self.set_registers(vcpu, after).inspect_err(|_| {
            // What was set before it goes back.
            let _ = self.set_registers(vcpu, before);
        })
    }
}

impl<H: ReadStructures + RegistersRead + RegistersWrite> AnswerCalls for H {}
