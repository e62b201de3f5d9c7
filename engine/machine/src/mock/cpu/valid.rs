//! Which values a processor takes (SDM vol. 3, sections 2.5 and 13.3; vol. 4, chapter 2). What it
//! does not take raises #GP(0) in the guest, and is invalid for a judge.

use oriel_protocol::{
    Refusal,
    x86::{Special, msr},
};

/// Bit 63 of a value for CR3 with PCIDs: not stored, but an order to keep translations.
pub(super) const KEEP_TRANSLATIONS: u64 = 1 << 63;

const CR0_PE: u64 = 1;
const CR0_NW: u64 = 1 << 29;
const CR0_CD: u64 = 1 << 30;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
/// All but LA57, which cannot change in long mode, and what is not defined.
const CR4_KNOWN: u64 = 0x00f7_6fff;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// SCE, LME, LMA, NXE.
const EFER_KNOWN: u64 = 0xd01;
/// Physical addresses have 52 bits at most.
const CR3_KNOWN: u64 = (1 << 52) - 1;
const XCR0_X87: u64 = 1;
const XCR0_SSE: u64 = 1 << 1;
const XCR0_AVX: u64 = 1 << 2;

const fn check(good: bool) -> Result<(), Refusal> {
    if good { Ok(()) } else { Err(Refusal::Invalid) }
}

pub(super) fn special(next: &Special) -> Result<(), Refusal> {
    check(cr0(next.cr0))?;
    check(next.cr3 & !CR3_KNOWN == 0 && next.cr8 < 16)?;
    check(next.cr4 & !CR4_KNOWN == 0 && next.efer & !EFER_KNOWN == 0)?;
    let long = next.efer & EFER_LMA != 0;
    let paging = next.cr0 & CR0_PG != 0;
    check(long == (paging && next.efer & EFER_LME != 0))?;
    check(!long || next.cr4 & CR4_PAE != 0)?;
    check(canonical(next.fs.base) && canonical(next.gs.base))
}

const fn cr0(value: u64) -> bool {
    let paging_protected = value & CR0_PG == 0 || value & CR0_PE != 0;
    let caches_consistent = value & CR0_NW == 0 || value & CR0_CD != 0;
    value >> 32 == 0 && paging_protected && caches_consistent
}

pub(super) fn msr(now: &Special, number: u32, value: u64) -> Result<(), Refusal> {
    match number {
        msr::EFER => {
            let switches_mode = (now.efer ^ value) & EFER_LME != 0 && now.cr0 & CR0_PG != 0;
            check(value & !EFER_KNOWN == 0 && !switches_mode)
        }
        msr::LSTAR | msr::CSTAR | msr::SYSENTER_ESP | msr::SYSENTER_EIP => check(canonical(value)),
        msr::FS_BASE | msr::GS_BASE | msr::KERNEL_GS_BASE => check(canonical(value)),
        _ => Ok(()),
    }
}

/// EFER.LMA says what is; software does not write it.
pub(super) const fn with_lma_of(now: u64, value: u64) -> u64 {
    (value & !EFER_LMA) | (now & EFER_LMA)
}

pub(super) fn xcr(number: u8, value: u64) -> Result<(), Refusal> {
    let known = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    let avx_with_sse = value & XCR0_AVX == 0 || value & XCR0_SSE != 0;
    check(number == 0 && value & XCR0_X87 != 0 && value & !known == 0 && avx_with_sse)
}

/// Whether bits 63 to 47 are all alike.
pub(in crate::mock) const fn canonical(address: u64) -> bool {
    let top = address.cast_signed() >> 47;
    top == 0 || top == -1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::cpu::Cpu;

    #[test]
    fn what_a_processor_does_not_take_is_invalid() {
        let cpu = Cpu::new(0x1000);
        let bad = [
            cpu.clone().set_cr(0, 1 << 32),
            cpu.clone().set_cr(0, 0x8000_0000),
            cpu.clone().set_cr(3, 1 << 60),
            cpu.clone().set_cr(4, 0),
            cpu.clone().set_cr(4, 1 << 40),
            cpu.clone().set_cr(8, 16),
            cpu.clone().set_msr(msr::EFER, 0),
            cpu.clone().set_msr(msr::LSTAR, 1 << 47),
            cpu.clone().set_xcr(0, 0),
            cpu.clone().set_xcr(0, 5),
            cpu.clone().set_xcr(1, 1),
        ];
        assert_eq!(bad, [Err(Refusal::Invalid); 11]);
    }

    #[test]
    fn what_it_takes_is_stored() {
        let mut cpu = Cpu::new(0x1000);
        assert_eq!(cpu.set_cr(3, KEEP_TRANSLATIONS | 0x2000), Ok(()));
        assert_eq!(cpu.set_msr(msr::LSTAR, 0xffff_8000_0000_0000), Ok(()));
        assert_eq!(cpu.set_msr(msr::EFER, 0x900), Ok(()));
        assert_eq!(cpu.set_xcr(0, 7), Ok(()));
        assert_eq!((cpu.special.cr3, cpu.xcr(0)), (0x2000, Some(7)));
        assert_eq!(cpu.msr(msr::EFER), Some(0xd00), "LMA stays");
    }
}
