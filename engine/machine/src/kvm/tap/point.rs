//! Hardware points that a vCPU has met, and the #DBs that are the guest's own.
//!
//! A point is left out of the debug registers of the one vCPU that goes over it; the others keep
//! theirs, so nobody is held.

use iced_x86::Mnemonic;
use kvm_ioctls::VcpuFd;
use oriel_protocol::{Gva, HardwarePoint, x86::Exception};

use super::{Tap, breakpoint::UNKNOWN};
use crate::{
    MachineError,
    kvm::{
        causes::{DETECTED, MET},
        code::Code,
        pending::{Break, Watched},
    },
};

/// #DB.
const DEBUG: Exception = Exception {
    vector: 1,
    error_code: None,
    address: 0,
};

/// RFLAGS.RF: the processor sets it for the handler of a point that it has met, so that the
/// instruction runs then (SDM vol. 3, section 18.3.1.1).
const RESUME: u64 = 1 << 16;

/// DR7.GD, which brings DR6.BD about and is cleared by the #DB (SDM vol. 3, section 18.2.4).
const GENERAL_DETECT: u64 = 1 << 13;

impl Tap {
    /// The breakpoint that the vCPU stands at, unless it was moved away from the point. If we are
    /// to run the instruction, we see to that ourselves, and not by RF.
    pub(super) fn stands_at(&mut self, point: HardwarePoint) -> Option<Break> {
        let mut regs = self.page.regs();
        let reached = self.here(regs.rip);
        if reached.gva != point.gva() {
            return None;
        }
        if regs.rflags & RESUME != 0 {
            regs.rflags &= !RESUME;
            self.page.set_regs(&regs);
        }
        Some(reached)
    }

    /// A breakpoint of ours at this instruction pointer.
    pub(super) fn here(&self, ip: u64) -> Break {
        let sregs = self.page.sregs();
        let gva = match self.arming.memory() {
            Some(memory) => Code {
                memory: &**memory,
                sregs: &sregs,
            }
            .linear(ip),
            None => ip,
        };
        Break {
            ip,
            gva,
            gpa: self.place_of(gva),
            managed: true,
        }
    }

    /// Where an address leads; all ones if nowhere.
    fn place_of(&self, gva: Gva) -> u64 {
        let sregs = self.page.sregs();
        let found = self.arming.memory().and_then(|memory| {
            let code = Code {
                memory: &**memory,
                sregs: &sregs,
            };
            code.translate(gva).ok()
        });
        found.unwrap_or(UNKNOWN)
    }

    /// An access that was watched for.
    pub(super) fn watched(&self, point: HardwarePoint) -> Watched {
        Watched {
            point,
            gpa: self.place_of(point.gva()),
        }
    }

    /// The guest takes a #DB of its own, with these causes in its DR6. KVM keeps its debug
    /// registers apart, and takes them here (KVM API, 4.34).
    pub(super) fn give_back(&mut self, vcpu: &VcpuFd, causes: u64) -> Result<(), MachineError> {
        let registers = vcpu.get_debug_regs();
        let mut registers = registers.map_err(|errno| self.error("KVM_GET_DEBUGREGS", errno))?;
        registers.dr6 = registers.dr6 & !MET | causes;
        if causes & DETECTED != 0 {
            registers.dr7 &= !GENERAL_DETECT;
        }
        vcpu.set_debug_regs(&registers)
            .map_err(|errno| self.error("KVM_SET_DEBUGREGS", errno))?;
        let ip = self.page.rip();
        // INT1 has no bit of its own, and comes out before it has run.
        if causes == 0
            && let Some(instruction) = self.instruction_at(ip)
            && instruction.mnemonic() == Mnemonic::Int1
        {
            self.set_ip(instruction.next_ip());
        }
        self.raise_exception(vcpu, DEBUG)
    }
}
