//! Bytes of an address space that end somewhere: at a zero, at a limit, or where nothing is mapped.
//! Owns how far is read; knows nothing of what is.

use oriel_sdk::{MemoryRead, Refusal};

const PAGE: u64 = 4096;

/// An address space, seen by a vCPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    vcpu: u32,
    /// Its page tables, if they are not those that the vCPU has now.
    cr3: Option<u64>,
}

impl Space {
    /// The one that the vCPU has now.
    pub(crate) const fn of(vcpu: u32) -> Self {
        Self { vcpu, cr3: None }
    }

    /// The one of other page tables.
    pub(crate) const fn by(self, cr3: u64) -> Self {
        Self {
            cr3: Some(cr3),
            ..self
        }
    }

    /// What comes before a zero, if there is one within so many bytes.
    pub(crate) fn text(self, gva: u64, most: u64, host: &mut impl MemoryRead) -> Option<Vec<u8>> {
        let mut text = self.up_to(gva, most, 1, host);
        let zero = text.iter().position(|byte| *byte == 0)?;
        text.truncate(zero);
        Some(text)
    }

    /// At most so many bytes, as far as they are mapped; page by page, until so many zeros have come.
    pub(crate) fn up_to(
        self,
        gva: u64,
        most: u64,
        zeros: u32,
        host: &mut impl MemoryRead,
    ) -> Vec<u8> {
        let (mut bytes, mut at, mut left, mut found) = (Vec::new(), gva, most, 0);
        while left > 0 && found < zeros {
            let length = left.min(PAGE - at % PAGE);
            let Ok(page) = self.piece(at, length, host) else {
                break;
            };
            let count = page.iter().filter(|byte| **byte == 0).count();
            found = found.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            bytes.extend(page);
            left -= length;
            match at.checked_add(length) {
                Some(next) => at = next,
                None => break,
            }
        }
        bytes
    }

    fn piece(self, gva: u64, length: u64, host: &mut impl MemoryRead) -> Result<Vec<u8>, Refusal> {
        let length = u32::try_from(length).map_err(|_| Refusal::Invalid)?;
        match self.cr3 {
            Some(cr3) => host.read_virtual_in(self.vcpu, cr3, gva, length),
            None => host.read_virtual(self.vcpu, gva, length),
        }
    }
}
