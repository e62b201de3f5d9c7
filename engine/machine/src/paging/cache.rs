//! A cache of page walks that is right when the guest changes its tables.
//!
//! A guest changes a table by storing to it, and tells nobody but its own processor. So nothing
//! here is believed: each use of a kept walk first reads the entries again that it went by, and
//! where one of them differs (accessed and dirty bits aside) the walk is done anew. What a kept
//! walk saves is not the reads but the waiting for each other: a walk is four or five reads of
//! which each says where the next one is, while the entries of a kept walk are known beforehand
//! and are read in one [`read_each`](crate::GuestMemory::read_each). On a machine whose memory is
//! a socket away that is one round trip instead of five.
//!
//! Where memory is near, in this process, a read is tens of nanoseconds and there is no trip to
//! save. Looking a walk up would only add to it, so nothing is kept there.
//!
//! A cache belongs to one thread, as a desk does. It is never shared and has no lock.

use oriel_protocol::{Gva, Refusal};

use super::{
    Mode, Translation, split,
    walk::{LEVELS, Trail, walk},
};
use crate::{GuestMemory, memory::Piece};

/// How many walks are kept; a power of two.
const SLOTS: usize = 256;

/// Page walks of one reader.
#[derive(Clone, Debug, Default)]
pub struct Walks {
    /// Empty until something is kept; then [`SLOTS`] places, by the page's number.
    slots: Vec<Option<Kept>>,
}

/// A walk that may still hold.
#[derive(Clone, Debug)]
struct Kept {
    key: Key,
    trail: Trail,
    /// Where the first byte of the 4 KiB page leads.
    page: Translation,
}

/// What a walk depends on besides the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    mode: Mode,
    cr3: u64,
    /// The number of the virtual page, of 4 KiB.
    page: u64,
}

impl Walks {
    /// As [`super::translate`].
    ///
    /// # Errors
    /// As [`super::translate`].
    pub fn translate(
        &mut self,
        memory: &dyn GuestMemory,
        mode: Mode,
        cr3: u64,
        gva: Gva,
    ) -> Result<Translation, Refusal> {
        if memory.is_near() {
            return walk(memory, mode, cr3, gva).map(|(found, _)| found);
        }
        self.look_up(memory, mode, cr3, gva)
    }

    /// As [`super::pieces`].
    ///
    /// # Errors
    /// As [`super::translate`], for the first page that is not mapped.
    pub fn pieces(
        &mut self,
        memory: &dyn GuestMemory,
        mode: Mode,
        cr3: u64,
        gva: Gva,
        length: usize,
    ) -> Result<Vec<(oriel_protocol::Gpa, usize)>, Refusal> {
        split(gva, length, |at| self.translate(memory, mode, cr3, at))
    }

    fn look_up(
        &mut self,
        memory: &dyn GuestMemory,
        mode: Mode,
        cr3: u64,
        gva: Gva,
    ) -> Result<Translation, Refusal> {
        let (page, offset) = (gva >> 12, gva & 0xfff);
        let key = Key { mode, cr3, page };
        let slot = self.slot(page);
        if let Some(kept) = slot
            && kept.key == key
            && kept.trail.still_holds(memory)
        {
            return Ok(kept.page.plus(offset));
        }
        *slot = None;
        let (found, trail) = walk(memory, mode, cr3, gva & !0xfff)?;
        *slot = Some(Kept {
            key,
            trail,
            page: found,
        });
        Ok(found.plus(offset))
    }

    fn slot(&mut self, page: u64) -> &mut Option<Kept> {
        if self.slots.is_empty() {
            self.slots.resize(SLOTS, None);
        }
        // The remainder is below `SLOTS`, which is how many there are.
        let at = usize::try_from(page % SLOTS as u64).unwrap_or(0);
        &mut self.slots[at]
    }
}

impl Translation {
    const fn plus(mut self, offset: u64) -> Self {
        self.gpa |= offset;
        self
    }
}

impl Trail {
    /// Whether every entry still says what it said.
    fn still_holds(&self, memory: &dyn GuestMemory) -> bool {
        let steps = self.steps();
        let mut bytes = [[0; 8]; LEVELS];
        let mut pieces: Vec<_> = steps
            .iter()
            .zip(&mut bytes)
            .map(|(step, bytes)| Piece::new(step.gpa, &mut bytes[..usize::from(step.size.min(8))]))
            .collect();
        memory.read_each(&mut pieces);
        let all_read = pieces.iter().all(|piece| piece.outcome.is_ok());
        all_read
            && steps
                .iter()
                .zip(bytes)
                .all(|(step, bytes)| step.still_holds(bytes))
    }
}

#[cfg(test)]
mod tests;
