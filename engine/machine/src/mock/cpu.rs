//! The registers of one vCPU, in long mode from the first step on.
//!
//! Owns the values and the rules for them; knows nothing of scripts, events or verdicts. What
//! stands in two places on hardware (EFER, the FS and GS bases, the APIC base) is kept once.

mod cpuid;
mod msrs;
mod start;
mod valid;

use oriel_protocol::{
    Refusal,
    x86::{CpuidLeaf, Exception, General, Special, msr},
};

use self::msrs::Msrs;
pub(super) use self::{start::gdt, valid::canonical};

/// The XSAVE area in bytes, as KVM hands it out.
const XSAVE_SIZE: usize = 4096;
/// The time-stamp counter's frequency in Hz. Nothing in the mock takes time by it.
pub(super) const TSC_HZ: u64 = 2_000_000_000;

/// The state of one vCPU.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    pub(super) general: General,
    pub(super) special: Special,
    /// An exception that somebody injected, delivered at the next step.
    pub(super) pending: Option<Exception>,
    xcr0: u64,
    msrs: Msrs,
    xsave: Box<[u8]>,
}

impl Cpu {
    /// An MSR; none if there is no such one.
    pub(super) fn msr(&self, number: u32) -> Option<u64> {
        match number {
            msr::EFER => Some(self.special.efer),
            msr::FS_BASE => Some(self.special.fs.base),
            msr::GS_BASE => Some(self.special.gs.base),
            msrs::APIC_BASE => Some(self.special.apic_base),
            other => self.msrs.get(other),
        }
    }

    /// Writes an MSR as the guest could.
    pub(super) fn set_msr(&mut self, number: u32, value: u64) -> Result<(), Refusal> {
        valid::msr(&self.special, number, value)?;
        match number {
            msr::EFER => self.special.efer = valid::with_lma_of(self.special.efer, value),
            msr::FS_BASE => self.special.fs.base = value,
            msr::GS_BASE => self.special.gs.base = value,
            msrs::APIC_BASE => self.special.apic_base = value,
            other => return self.msrs.set(other, value),
        }
        Ok(())
    }

    /// Makes an MSR exist, with 0 in it, where the vCPU has none of this number.
    pub(super) fn define_msr(&mut self, number: u32) {
        if self.msr(number).is_none() {
            self.msrs.define(number, 0);
        }
    }

    /// A control register; none if it is not 0, 2, 3, 4 or 8.
    pub(super) const fn cr(&self, number: u8) -> Option<u64> {
        match number {
            0 => Some(self.special.cr0),
            2 => Some(self.special.cr2),
            3 => Some(self.special.cr3),
            4 => Some(self.special.cr4),
            8 => Some(self.special.cr8),
            _ => None,
        }
    }

    /// Writes a control register as the guest could.
    pub(super) fn set_cr(&mut self, number: u8, value: u64) -> Result<(), Refusal> {
        let mut next = self.special;
        match number {
            0 => next.cr0 = value,
            2 => next.cr2 = value,
            3 => next.cr3 = value & !valid::KEEP_TRANSLATIONS,
            4 => next.cr4 = value,
            8 => next.cr8 = value,
            _ => return Err(Refusal::NotFound),
        }
        self.set_special(&next)
    }

    /// Sets all of them at once, if together they are a state that a processor can be in.
    pub(super) fn set_special(&mut self, next: &Special) -> Result<(), Refusal> {
        valid::special(next)?;
        self.special = *next;
        Ok(())
    }

    /// An extended control register.
    pub(super) const fn xcr(&self, number: u8) -> Option<u64> {
        if number == 0 { Some(self.xcr0) } else { None }
    }

    /// Writes an extended control register as the guest could.
    pub(super) fn set_xcr(&mut self, number: u8, value: u64) -> Result<(), Refusal> {
        valid::xcr(number, value)?;
        self.xcr0 = value;
        Ok(())
    }

    /// What CPUID answers here; none for a leaf that does not exist.
    pub(super) fn cpuid(&self, function: u32, index: u32) -> Option<CpuidLeaf> {
        cpuid::leaf(function, index)
    }

    /// The XSAVE area.
    pub(super) fn xsave(&self) -> &[u8] {
        &self.xsave
    }

    /// Sets the first bytes of the XSAVE area.
    pub(super) fn set_xsave(&mut self, area: &[u8]) -> Result<(), Refusal> {
        let to = self.xsave.get_mut(..area.len()).ok_or(Refusal::Invalid)?;
        to.copy_from_slice(area);
        Ok(())
    }

    /// Goes to a privilege level, with the segments that belong to it.
    pub(super) fn set_cpl(&mut self, cpl: u8) {
        let (cs, ss) = start::segments_of(cpl);
        self.special.cs = cs;
        self.special.ss = ss;
    }

    /// EDX:EAX, as WRMSR and XSETBV take it.
    pub(super) const fn edx_eax(&self) -> u64 {
        (self.general.rdx << 32) | (self.general.rax & 0xffff_ffff)
    }

    /// Puts a value into EDX:EAX, as RDMSR does.
    pub(super) const fn set_edx_eax(&mut self, value: u64) {
        self.general.rax = value & 0xffff_ffff;
        self.general.rdx = value >> 32;
    }

    /// Puts a value of 1, 2, 4 or 8 bytes into RAX, as a load does: one of 4 clears the rest, a
    /// smaller one leaves it.
    pub(super) const fn load_rax(&mut self, size: u8, value: u64) {
        let kept = match size {
            1 | 2 => self.general.rax & !mask(size),
            _ => 0,
        };
        self.general.rax = kept | (value & mask(size));
    }
}

/// The bits that an operand of this many bytes has.
pub(super) const fn mask(size: u8) -> u64 {
    if size >= 8 {
        u64::MAX
    } else {
        (1 << (size * 8)) - 1
    }
}

/// The low half.
pub(super) const fn low(word: u64) -> u32 {
    (word & 0xffff_ffff) as u32
}

/// The lowest two bytes.
pub(super) const fn low16(word: u64) -> u16 {
    (word & 0xffff) as u16
}
