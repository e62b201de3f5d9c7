//! The model-specific registers that stand in no other place: number and value, by number.

use std::cell::Cell;

use oriel_protocol::{Refusal, x86::msr};

pub(super) const TSC: u32 = 0x10;
pub(super) const APIC_BASE: u32 = 0x1b;
const SPEC_CTRL: u32 = 0x48;
const MTRR_CAP: u32 = 0xfe;
const MISC_ENABLE: u32 = 0x1a0;
const MTRR_DEF_TYPE: u32 = 0x2ff;

/// What every vCPU has, lowest first, with its value at the start (SDM vol. 4, chapter 2).
const ARCHITECTURAL: [(u32, u64); 15] = [
    (TSC, 0),
    (SPEC_CTRL, 0),
    (MTRR_CAP, 0),
    (msr::SYSENTER_CS, 0),
    (msr::SYSENTER_ESP, 0),
    (msr::SYSENTER_EIP, 0),
    (MISC_ENABLE, 1),
    (msr::PAT, 0x0007_0406_0007_0406),
    (MTRR_DEF_TYPE, 0xc06),
    (msr::STAR, 0),
    (msr::LSTAR, 0),
    (msr::CSTAR, 0),
    (msr::SFMASK, 0),
    (msr::KERNEL_GS_BASE, 0),
    (msr::TSC_AUX, 0),
];

/// A sorted list of some twenty numbers. Who touches one tends to touch it again, so the place of
/// the last one is looked at first: on the event path that is worth a fifth of the mock's time.
#[derive(Clone, Debug)]
pub(super) struct Msrs {
    known: Vec<(u32, u64)>,
    last: Cell<usize>,
}

impl Msrs {
    pub(super) fn new() -> Self {
        Self {
            known: ARCHITECTURAL.to_vec(),
            last: Cell::new(0),
        }
    }

    pub(super) fn get(&self, number: u32) -> Option<u64> {
        let (_, value) = self.known.get(self.find(number).ok()?)?;
        Some(*value)
    }

    pub(super) fn set(&mut self, number: u32, value: u64) -> Result<(), Refusal> {
        let at = self.find(number).map_err(|_| Refusal::NotFound)?;
        let (_, known) = self.known.get_mut(at).ok_or(Refusal::NotFound)?;
        *known = value;
        Ok(())
    }

    /// Makes it exist; one that exists already keeps its value.
    pub(super) fn define(&mut self, number: u32, value: u64) {
        if let Err(at) = self.find(number) {
            self.known.insert(at, (number, value));
        }
    }

    /// Where it is, or would be.
    fn find(&self, number: u32) -> Result<usize, usize> {
        let last = self.last.get();
        if self
            .known
            .get(last)
            .is_some_and(|(known, _)| *known == number)
        {
            return Ok(last);
        }
        let found = self
            .known
            .binary_search_by_key(&number, |(known, _)| *known);
        self.last.set(found.unwrap_or(last));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_msr_exists_from_the_start_or_once_it_is_defined() {
        let mut msrs = Msrs::new();
        assert_eq!(msrs.get(msr::PAT), Some(0x0007_0406_0007_0406));
        assert_eq!(msrs.set(0x8b, 1), Err(Refusal::NotFound));
        msrs.define(0x8b, 7);
        msrs.define(msr::PAT, 7);
        assert_eq!((msrs.get(0x8b), msrs.get(0x8c)), (Some(7), None));
        assert_eq!(msrs.get(msr::PAT), Some(0x0007_0406_0007_0406));
        assert!(msrs.known.is_sorted());
    }
}
