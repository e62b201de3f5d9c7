//! Reads guest memory.

use oriel_protocol::{
    self as table,
    commands::{
        vcpu,
        vm::{self, BULK_MAX, RANGES_MAX},
    },
};

use super::{bulk, physical};
use crate::{
    bindings::oriel::introspection::{
        memory_read::{Host, Range},
        types::Refusal,
    },
    state::State,
};

impl Host for State {
    fn read(&mut self, gpa: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        self.fits(length as usize)?;
        Ok(self.vm(physical(gpa, length)?)?)
    }

    fn read_u64(&mut self, gpa: u64) -> Result<u64, Refusal> {
        let bytes = self.vm(physical(gpa, 8)?)?;
        let word = bytes.try_into().map_err(|_| table::Refusal::NotFound)?;
        Ok(u64::from_le_bytes(word))
    }

    fn read_scattered(
        &mut self,
        ranges: Vec<Range>,
    ) -> Result<Vec<Result<Vec<u8>, Refusal>>, Refusal> {
        let total: u64 = ranges.iter().map(|range| u64::from(range.length)).sum();
        if ranges.len() > RANGES_MAX || total > u64::from(BULK_MAX) {
            return Err(table::Refusal::Invalid.into());
        }
        self.fits(usize::try_from(total).unwrap_or(usize::MAX))?;
        let range = |range: Range| (range.gpa, range.length);
        let ranges = ranges.into_iter().map(range).collect();
        let pieces = self.vm(vm::ReadScattered { ranges })?;
        Ok(pieces
            .into_iter()
            .map(|piece| piece.map_err(Refusal::from))
            .collect())
    }

    fn read_virtual(&mut self, vcpu: u32, gva: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        read_virtual(self, vcpu, None, gva, length)
    }

    fn read_virtual_in(
        &mut self,
        vcpu: u32,
        cr3: u64,
        gva: u64,
        length: u32,
    ) -> Result<Vec<u8>, Refusal> {
        read_virtual(self, vcpu, Some(cr3), gva, length)
    }

    fn translate(&mut self, vcpu: u32, gva: u64) -> Result<u64, Refusal> {
        Ok(self.vcpu(vcpu, vcpu::TranslateGva { gva })?)
    }

    fn translate_in(&mut self, vcpu: u32, cr3: u64, gva: u64) -> Result<u64, Refusal> {
        let cr3 = Some(cr3);
        Ok(self.vcpu(vcpu, vcpu::TranslateIn { cr3, gva })?)
    }
}

fn read_virtual(
    state: &mut State,
    vcpu: u32,
    cr3: Option<u64>,
    gva: u64,
    length: u32,
) -> Result<Vec<u8>, Refusal> {
    bulk(length as usize)?;
    state.fits(length as usize)?;
    Ok(state.vcpu(vcpu, vcpu::ReadVirtual { cr3, gva, length })?)
}
