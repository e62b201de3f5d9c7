//! The state of a vCPU while it is out of the guest.
//!
//! General and special registers come from the page that KVM fills at each exit, without an
//! ioctl. Setting the general ones takes effect at the next entry; everything else at once, so
//! that what KVM will not take is refused here and not later.

use std::io;

use kvm_bindings::KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use oriel_protocol::{
    Gpa, Refusal,
    x86::{CpuidLeaf, Exception, General, Special},
};
use rustix::io::Errno;

use super::KvmVcpu;
use crate::{
    VcpuState,
    kvm::{
        msr_rules, msrs, mtrr, registers,
        sys::xsave::{self, AREA},
    },
};

const XCR0: u32 = 0;

impl VcpuState for KvmVcpu {
    fn general(&mut self) -> Result<General, Refusal> {
        Ok(registers::general(&self.tap.page.regs()))
    }

    fn set_general(&mut self, general: &General) -> Result<(), Refusal> {
        if general.rip != self.tap.page.regs().rip {
            self.wake()?;
        }
        self.tap.page.set_regs(&registers::from_general(general));
        Ok(())
    }

    fn special(&mut self) -> Result<Special, Refusal> {
        Ok(registers::special(&self.tap.page.sregs()))
    }

    fn set_special(&mut self, special: &Special) -> Result<(), Refusal> {
        let vcpu = &self.mapped.fd;
        let sregs = registers::with_special(special, &self.tap.page.sregs());
        vcpu.set_sregs(&sregs).map_err(refused)?;
        // KVM has its own say in some bits (EFER.LMA): what counts is what it holds now.
        let sregs = vcpu.get_sregs().map_err(refused)?;
        self.tap.page.note_sregs(&sregs);
        Ok(())
    }

    fn msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        msrs::get(&self.mapped.fd, msr).ok_or(Refusal::NotFound)
    }

    fn set_msr(&mut self, msr: u32, value: u64) -> Result<(), Refusal> {
        msr_rules::class(msr).map_err(|_| Refusal::Unsupported)?;
        let tap = &mut self.tap;
        if tap.msrs.write(&self.mapped.fd, &mut tap.page, msr, value) {
            return Ok(());
        }
        // Which of the two it is only matters now.
        self.msr(msr)?;
        Err(Refusal::Invalid)
    }

    fn cpuid(&mut self, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        let cpuid = self
            .mapped
            .fd
            .get_cpuid2(KVM_MAX_CPUID_ENTRIES)
            .map_err(refused)?;
        let leaf = cpuid.as_slice().iter().find(|entry| {
            let indexed = entry.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX != 0;
            entry.function == function && (!indexed || entry.index == index)
        });
        leaf.map(|leaf| CpuidLeaf {
            eax: leaf.eax,
            ebx: leaf.ebx,
            ecx: leaf.ecx,
            edx: leaf.edx,
        })
        .ok_or(Refusal::NotFound)
    }

    fn xcr(&mut self, xcr: u8) -> Result<u64, Refusal> {
        if u32::from(xcr) != XCR0 {
            return Err(Refusal::NotFound);
        }
        let xcrs = self.mapped.fd.get_xcrs().map_err(refused)?;
        let known = xcrs
            .xcrs
            .iter()
            .take(xcrs.nr_xcrs as usize)
            .find(|entry| entry.xcr == XCR0);
        known.map(|entry| entry.value).ok_or(Refusal::NotFound)
    }

    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        let fits = self.fits.ok_or(Refusal::Unsupported)?;
        xsave::get(&self.mapped.fd, fits).map_err(|_| Refusal::Unavailable)
    }

    fn set_xsave(&mut self, area: &[u8]) -> Result<(), Refusal> {
        let fits = self.fits.ok_or(Refusal::Unsupported)?;
        let area: &[u8; AREA] = area.try_into().map_err(|_| Refusal::Invalid)?;
        xsave::set(&self.mapped.fd, area, fits).map_err(refused)
    }

    fn mtrr_type(&mut self, gpa: Gpa) -> Result<u8, Refusal> {
        mtrr::memory_type(gpa, |msr| msrs::get(&self.mapped.fd, msr)).ok_or(Refusal::Unavailable)
    }

    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        let khz = self
            .mapped
            .fd
            .get_tsc_khz()
            .map_err(|_| Refusal::Unavailable)?;
        Ok(u64::from(khz) * 1000)
    }

    fn inject(&mut self, exception: Exception) -> Result<(), Refusal> {
        self.tap.stage(exception)?;
        self.wake()
    }
}

/// A value that KVM will not take is invalid; anything else is a matter of the moment.
fn refused(error: impl Into<io::Error>) -> Refusal {
    let errno = error.into().raw_os_error().map(Errno::from_raw_os_error);
    if errno == Some(Errno::INVAL) {
        Refusal::Invalid
    } else {
        Refusal::Unavailable
    }
}
