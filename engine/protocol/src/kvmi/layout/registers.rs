//! The rows for a vCPU's registers: general and special ones, MSRs, CPUID, XSAVE, XCR, MTRR.

use super::{Layout, at_least, count, no_data, no_request, word_data};
use crate::{
    Dialect, Request,
    commands::vcpu::{
        GetCpuid, GetMtrrType, GetRegisters, GetXcr, GetXsave, Registers, SetRegisters, SetXsave,
    },
    kvmi::{
        Errno, Flaw, Malformed,
        bytes::{Reader, Writer},
        snapshot,
    },
    x86::CpuidLeaf,
};

/// Bytes of the answer without MSRs.
const REGISTERS: usize = 472;
/// Bytes of the general registers.
const GENERAL: usize = 144;
/// Bytes of each MSR in the answer.
const MSR: usize = 16;
/// Bytes of the XSAVE area that KVMI knows.
pub(in crate::kvmi) const XSAVE: usize = 4096;

impl GetRegisters {
    /// Bytes of the answer. Tools insist on exactly so many.
    pub(in crate::kvmi) fn answer_size(&self) -> usize {
        REGISTERS + MSR * self.msrs.len()
    }
}

impl Layout for GetRegisters {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let number = from.u16();
        from.padding(6)?;
        let list = from.take(usize::from(number) * 4).ok_or(Errno::INVAL)?;
        let mut list = Reader::new(from.dialect(), list);
        let msrs = (0..number).map(|_| list.u32()).collect();
        Ok(Self { msrs })
    }

    fn put(&self, to: &mut Writer) {
        to.u16(count(self.msrs.len()));
        to.padding(6);
        self.msrs.iter().for_each(|&msr| to.u32(msr));
    }

    fn put_reply(answer: &Box<Registers>, to: &mut Writer) {
        to.u32(snapshot::mode(&answer.special).into());
        to.padding(4);
        snapshot::put_general(to, &answer.general);
        snapshot::put_special(to, &answer.special);
        to.u32(count(answer.msrs.len()).into());
        to.padding(4);
        for &(msr, value) in &answer.msrs {
            to.u32(msr);
            to.padding(4);
            to.u64(value);
        }
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Box<Registers>, Malformed> {
        at_least(from, Self::ID.name(), REGISTERS)?;
        from.skip(8);
        let general = snapshot::take_general(from);
        let special = snapshot::take_special(from);
        let number = from.u32();
        from.skip(4);
        let had = from.remaining();
        let list = usize::try_from(number)
            .ok()
            .and_then(|n| n.checked_mul(MSR));
        if list != Some(had) {
            return Err(Malformed::Size {
                what: "the list of MSRs",
                had,
                expected: list.unwrap_or(usize::MAX),
            });
        }
        let msrs = (0..number).map(|_| take_msr(from)).collect();
        Ok(Box::new(Registers {
            general,
            special,
            msrs,
        }))
    }
}

fn take_msr(from: &mut Reader<'_>) -> (u32, u64) {
    let msr = from.u32();
    from.skip(4);
    (msr, from.u64())
}

/// What is missing is zero; v12 takes all of them or none.
impl Layout for SetRegisters {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        if from.dialect() == Dialect::V12 && from.remaining() < GENERAL {
            return Err(Errno::INVAL.into());
        }
        let general = snapshot::take_general(from);
        Ok(Self { general })
    }

    fn put(&self, to: &mut Writer) {
        snapshot::put_general(to, &self.general);
    }
}

impl Layout for GetCpuid {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let (function, index) = (from.u32(), from.u32());
        Ok(Self { function, index })
    }

    fn put(&self, to: &mut Writer) {
        to.u32(self.function);
        to.u32(self.index);
    }

    fn put_reply(leaf: &CpuidLeaf, to: &mut Writer) {
        to.u32(leaf.eax);
        to.u32(leaf.ebx);
        to.u32(leaf.ecx);
        to.u32(leaf.edx);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<CpuidLeaf, Malformed> {
        at_least(from, Self::ID.name(), 16)?;
        Ok(CpuidLeaf {
            eax: from.u32(),
            ebx: from.u32(),
            ecx: from.u32(),
            edx: from.u32(),
        })
    }
}

impl Layout for GetXsave {
    const RETURNS_DATA: bool = true;
    no_request!(GetXsave);

    /// Always a whole area: KVMI knows no other size.
    fn put_reply(area: &Vec<u8>, to: &mut Writer) {
        to.field(area, XSAVE);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
        Ok(from.rest().to_vec())
    }
}

/// v12 takes a whole area only; elsewhere what is missing is zero. A longer one is refused by the
/// checks.
impl Layout for SetXsave {
    no_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let mut area = from.rest().to_vec();
        let short = area.len() < XSAVE;
        if short && from.dialect() == Dialect::V12 {
            return Err(Errno::INVAL.into());
        }
        area.resize(area.len().max(XSAVE), 0);
        Ok(Self { area })
    }

    fn put(&self, to: &mut Writer) {
        to.raw(&self.area);
    }
}

impl Layout for GetXcr {
    word_data!();

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        let xcr = from.u8();
        from.padding(7)?;
        Ok(Self { xcr })
    }

    fn put(&self, to: &mut Writer) {
        to.u8(self.xcr);
        to.padding(7);
    }
}

impl Layout for GetMtrrType {
    const RETURNS_DATA: bool = true;

    fn take(from: &mut Reader<'_>) -> Result<Self, Flaw> {
        Ok(Self { gpa: from.u64() })
    }

    fn put(&self, to: &mut Writer) {
        to.u64(self.gpa);
    }

    fn put_reply(memory_type: &u8, to: &mut Writer) {
        to.u8(*memory_type);
        to.padding(7);
    }

    fn take_reply(from: &mut Reader<'_>) -> Result<u8, Malformed> {
        at_least(from, Self::ID.name(), 1)?;
        Ok(from.u8())
    }
}
