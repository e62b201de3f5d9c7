//! The vCPU's state for whoever judges on its thread.

use oriel_protocol::{
    Gpa, Refusal,
    x86::{CpuidLeaf, Exception, General, Special},
};

use super::MockVcpu;
use crate::{GuestMemory as _, machine::VcpuState, mock::cpu::TSC_HZ};

const UNCACHED: u8 = 0;
const WRITE_BACK: u8 = 6;

impl VcpuState for MockVcpu {
    fn general(&mut self) -> Result<General, Refusal> {
        Ok(self.guest.cpu.general)
    }

    fn set_general(&mut self, general: &General) -> Result<(), Refusal> {
        self.guest.cpu.general = *general;
        Ok(())
    }

    fn special(&mut self) -> Result<Special, Refusal> {
        Ok(self.guest.cpu.special)
    }

    fn set_special(&mut self, special: &Special) -> Result<(), Refusal> {
        self.guest.cpu.set_special(special)
    }

    fn msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.guest.cpu.msr(msr).ok_or(Refusal::NotFound)
    }

    fn set_msr(&mut self, msr: u32, value: u64) -> Result<(), Refusal> {
        self.guest.cpu.set_msr(msr, value)
    }

    fn cpuid(&mut self, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        let leaf = self.guest.cpu.cpuid(function, index);
        leaf.ok_or(Refusal::NotFound)
    }

    fn xcr(&mut self, xcr: u8) -> Result<u64, Refusal> {
        self.guest.cpu.xcr(xcr).ok_or(Refusal::NotFound)
    }

    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        Ok(self.guest.cpu.xsave().to_vec())
    }

    fn set_xsave(&mut self, area: &[u8]) -> Result<(), Refusal> {
        self.guest.cpu.set_xsave(area)
    }

    fn mtrr_type(&mut self, gpa: Gpa) -> Result<u8, Refusal> {
        let ram = self.guest.ram.covers(gpa, 1);
        Ok(if ram { WRITE_BACK } else { UNCACHED })
    }

    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        Ok(TSC_HZ)
    }

    fn inject(&mut self, exception: Exception) -> Result<(), Refusal> {
        let pending = &mut self.guest.cpu.pending;
        if exception.vector > 31 {
            return Err(Refusal::Invalid);
        }
        if pending.is_some() {
            return Err(Refusal::Busy);
        }
        *pending = Some(exception);
        Ok(())
    }
}
