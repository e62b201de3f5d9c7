//! The state of a vCPU while it is out of the guest, whoever runs it.
//!
//! General and special registers come from the page that KVM fills at each exit while anything is
//! armed, without an ioctl. Setting the general ones takes effect at the next entry; everything else at once, so
//! that what KVM will not take is refused here and not later.

use std::io;

use kvm_bindings::{
    KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES, KVM_MP_STATE_HALTED,
    KVM_MP_STATE_RUNNABLE, kvm_mp_state,
};
use kvm_ioctls::VcpuFd;
use oriel_protocol::{
    Gpa, Refusal,
    x86::{CpuidLeaf, Exception, General, Special},
};
use rustix::io::Errno;

use super::{
    msr_rules, msrs, mtrr, registers,
    sys::{
        page::Pieces,
        xsave::{self, AREA, FitsArea},
    },
    tap::Tap,
};
use crate::VcpuState;

const XCR0: u32 = 0;

/// A vCPU with a tap on it.
pub(super) trait Tapped: Send {
    /// The tap, and the vCPU that it is on.
    fn tapped(&mut self) -> (&mut Tap, &VcpuFd);

    /// The proof that its XSAVE area is of a size that can be had.
    fn fits(&self) -> Option<FitsArea>;

    /// Its state is another now than it came out of the guest with.
    fn changed(&mut self) {}

    /// It has something to run again, if it halted.
    fn wake(&mut self) -> Result<(), Refusal>;
}

/// Ends a halt that KVM waits in (KVM API, 4.38 and 4.39).
pub(super) fn unhalt(vcpu: &VcpuFd) -> Result<(), Refusal> {
    let state = vcpu.get_mp_state().map_err(refused)?;
    if state.mp_state != KVM_MP_STATE_HALTED {
        return Ok(());
    }
    let mp_state = KVM_MP_STATE_RUNNABLE;
    vcpu.set_mp_state(kvm_mp_state { mp_state })
        .map_err(refused)
}

impl<T: Tapped> VcpuState for T {
    fn general(&mut self) -> Result<General, Refusal> {
        let page = &self.tapped().0.page;
        page.fetch(Pieces::REGS).map_err(refused)?;
        Ok(registers::general(&page.regs()))
    }

    fn set_general(&mut self, general: &General) -> Result<(), Refusal> {
        if general.rip != self.tapped().0.page.rip() {
            self.wake()?;
        }
        self.changed();
        let regs = registers::from_general(general);
        self.tapped().0.page.set_regs(&regs);
        Ok(())
    }

    fn special(&mut self) -> Result<Special, Refusal> {
        let page = &self.tapped().0.page;
        page.fetch(Pieces::SREGS).map_err(refused)?;
        Ok(registers::special(&page.sregs()))
    }

    fn set_special(&mut self, special: &Special) -> Result<(), Refusal> {
        self.changed();
        let (tap, vcpu) = self.tapped();
        let sregs = registers::with_special(special, &tap.page.sregs());
        vcpu.set_sregs(&sregs).map_err(refused)?;
        // KVM has its own say in some bits (EFER.LMA): what counts is what it holds now.
        let sregs = vcpu.get_sregs().map_err(refused)?;
        tap.page.note_sregs(&sregs);
        Ok(())
    }

    fn msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        msrs::get(self.tapped().1, msr).ok_or(Refusal::NotFound)
    }

    fn msrs(&mut self, numbers: &[u32]) -> Vec<Option<u64>> {
        msrs::get_all(self.tapped().1, numbers)
    }

    fn set_msr(&mut self, msr: u32, value: u64) -> Result<(), Refusal> {
        msr_rules::class(msr).map_err(|_| Refusal::Unsupported)?;
        let (tap, vcpu) = self.tapped();
        if tap.msrs.write(vcpu, &mut tap.page, msr, value) {
            return Ok(());
        }
        // Which of the two it is only matters now.
        self.msr(msr)?;
        Err(Refusal::Invalid)
    }

    fn cpuid(&mut self, function: u32, index: u32) -> Result<CpuidLeaf, Refusal> {
        let cpuid = self
            .tapped()
            .1
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
        let xcrs = self.tapped().1.get_xcrs().map_err(refused)?;
        let known = xcrs
            .xcrs
            .iter()
            .take(xcrs.nr_xcrs as usize)
            .find(|entry| entry.xcr == XCR0);
        known.map(|entry| entry.value).ok_or(Refusal::NotFound)
    }

    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        let fits = self.fits().ok_or(Refusal::Unsupported)?;
        xsave::get(self.tapped().1, fits).map_err(|_| Refusal::Unavailable)
    }

    fn set_xsave(&mut self, area: &[u8]) -> Result<(), Refusal> {
        let fits = self.fits().ok_or(Refusal::Unsupported)?;
        let area: &[u8; AREA] = area.try_into().map_err(|_| Refusal::Invalid)?;
        xsave::set(self.tapped().1, area, fits).map_err(refused)
    }

    fn mtrr_type(&mut self, gpa: Gpa) -> Result<u8, Refusal> {
        let (_, vcpu) = self.tapped();
        mtrr::memory_type(gpa, |msr| msrs::get(vcpu, msr)).ok_or(Refusal::Unavailable)
    }

    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        let khz = self
            .tapped()
            .1
            .get_tsc_khz()
            .map_err(|_| Refusal::Unavailable)?;
        Ok(u64::from(khz) * 1000)
    }

    fn inject(&mut self, exception: Exception) -> Result<(), Refusal> {
        self.tapped().0.stage(exception)?;
        self.changed();
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
