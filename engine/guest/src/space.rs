//! Guest-virtual memory by one set of page tables. Owns the way from an address to bytes, which is
//! the machine crate's page walk; never writes, and never reads more than it was asked for.

use oriel_machine::{
    GuestMemory,
    paging::{self, Mode, Translation},
};
use oriel_protocol::{Gpa, Gva};

use crate::{answer::Unknown, words};

/// The most that is read at once: a kernel's types are some 6 MiB, its read-only data some 20.
pub const LONGEST_READ: usize = 64 << 20;

/// Virtual memory, as one CR3 maps it.
#[derive(Clone, Copy)]
pub struct Space<'m> {
    memory: &'m dyn GuestMemory,
    mode: Mode,
    cr3: u64,
}

impl<'m> Space<'m> {
    /// Memory by these tables.
    pub const fn new(memory: &'m dyn GuestMemory, mode: Mode, cr3: u64) -> Self {
        Self { memory, mode, cr3 }
    }

    /// The tables' physical address, with the low bits that CR3 has.
    pub const fn cr3(&self) -> u64 {
        self.cr3
    }

    /// How addresses are translated.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The physical memory behind it.
    pub const fn memory(&self) -> &'m dyn GuestMemory {
        self.memory
    }

    /// The same memory by other tables.
    pub const fn with_cr3(self, cr3: u64) -> Self {
        Self { cr3, ..self }
    }

    /// Where an address leads.
    ///
    /// # Errors
    /// [`Unknown::NotMapped`].
    pub fn translate(&self, gva: Gva) -> Result<Translation, Unknown> {
        paging::translate(self.memory, self.mode, self.cr3, gva)
            .map_err(|_| Unknown::NotMapped(gva))
    }

    /// Fills `to` from `gva` on.
    ///
    /// # Errors
    /// [`Unknown::NotMapped`] with the first page that is not there.
    pub fn read(&self, gva: Gva, to: &mut [u8]) -> Result<(), Unknown> {
        let (mut at, mut rest) = (gva, to);
        while !rest.is_empty() {
            let (gpa, in_page) = self.rest_of_page(at)?;
            let length = usize::try_from(in_page).map_or(rest.len(), |size| size.min(rest.len()));
            let (piece, behind) = rest.split_at_mut(length);
            let read = self.memory.read_at(gpa, piece);
            read.map_err(|_| Unknown::NotMapped(at))?;
            // The end of the address space leads to address 0, which no kernel maps.
            (at, rest) = (at.wrapping_add(length as u64), behind);
        }
        Ok(())
    }

    /// Where so many bytes lie in physical memory: address and length of each piece, in order.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn pieces(&self, gva: Gva, length: u32) -> Result<Vec<(Gpa, u32)>, Unknown> {
        let mut pieces: Vec<(Gpa, u32)> = Vec::new();
        let (mut at, mut left) = (gva, length);
        while left > 0 {
            let (gpa, in_page) = self.rest_of_page(at)?;
            let here = u32::try_from(in_page).map_or(left, |size| size.min(left));
            match pieces.last_mut() {
                Some((first, before)) if first.wrapping_add((*before).into()) == gpa => {
                    *before += here;
                }
                Some(_) | None => pieces.push((gpa, here)),
            }
            (at, left) = (at.wrapping_add(here.into()), left - here);
        }
        Ok(pieces)
    }

    /// Where an address leads, and how many bytes of its page are behind it.
    fn rest_of_page(&self, gva: Gva) -> Result<(Gpa, u64), Unknown> {
        let page = self.translate(gva)?;
        Ok((page.gpa, page.page_size - (gva & (page.page_size - 1))))
    }

    /// So many bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Unknown::Damaged`] beyond [`LONGEST_READ`].
    pub fn bytes(&self, gva: Gva, length: usize) -> Result<Vec<u8>, Unknown> {
        if length > LONGEST_READ {
            return Err(Unknown::Damaged("a size in the guest's memory"));
        }
        let mut bytes = vec![0; length];
        self.read(gva, &mut bytes)?;
        Ok(bytes)
    }

    /// A 64-bit word.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn u64(&self, gva: Gva) -> Result<u64, Unknown> {
        let mut word = [0; 8];
        self.read(gva, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }

    /// A 32-bit word.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn u32(&self, gva: Gva) -> Result<u32, Unknown> {
        let mut word = [0; 4];
        self.read(gva, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    /// Text up to its NUL, or `most` bytes of it; what lies behind the end of a page that is the
    /// last one mapped is not asked for.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn text(&self, gva: Gva, most: usize) -> Result<String, Unknown> {
        let mut bytes = Vec::new();
        while bytes.len() < most && !bytes.contains(&0) {
            let at = gva.wrapping_add(bytes.len() as u64);
            let in_page = usize::try_from(0x1000 - (at & 0xfff)).unwrap_or(1);
            bytes.extend(self.bytes(at, in_page.min(most - bytes.len()).min(0x1000))?);
        }
        Ok(words::text(&bytes))
    }
}

impl std::fmt::Debug for Space<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Space({:#x})", self.cr3)
    }
}
