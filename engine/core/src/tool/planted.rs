//! Breakpoint bytes that a tool wrote into guest memory. They are its own doing, not managed by
//! the engine; but a guest that meets one after the tool has gone would die of it.

use std::collections::{BTreeMap, BTreeSet};

use oriel_machine::GuestMemory;
use oriel_protocol::{Gpa, Refusal};

use crate::holdings::ARMED_MAX;

/// INT3.
const BREAKPOINT: u8 = 0xcc;

/// Breakpoint bytes that a tool wrote, with what was there before.
#[derive(Debug, Default)]
pub(super) struct Planted {
    before: BTreeMap<Gpa, u8>,
    /// Those that have been taken back.
    taken_back: BTreeSet<Gpa>,
}

impl Planted {
    /// Takes note of a write that is about to be done. A single byte of 0xCC is a breakpoint;
    /// anything else ends those that it overwrites.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where no RAM is, [`Refusal::Limit`] over [`ARMED_MAX`] breakpoints.
    pub(super) fn note(
        &mut self,
        memory: &dyn GuestMemory,
        gpa: Gpa,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        if *bytes != [BREAKPOINT] {
            self.forget(gpa, bytes.len());
            return Ok(());
        }
        let before = byte_at(memory, gpa)?;
        if before == BREAKPOINT || self.before.contains_key(&gpa) {
            return Ok(());
        }
        if self.before.len() >= ARMED_MAX {
            return Err(Refusal::Limit);
        }
        self.before.insert(gpa, before);
        Ok(())
    }

    fn forget(&mut self, gpa: Gpa, length: usize) {
        let end = gpa.saturating_add(length as u64);
        let covered: Vec<_> = self.before.range(gpa..end).map(|(at, _)| *at).collect();
        covered.iter().for_each(|at| {
            self.before.remove(at);
        });
    }

    /// Whether there is nothing to take back.
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// Takes back those that are still there.
    pub(super) fn take_back(&mut self, memory: &dyn GuestMemory) {
        for (gpa, before) in std::mem::take(&mut self.before) {
            let there = byte_at(memory, gpa) == Ok(BREAKPOINT);
            if there && memory.write_at(gpa, &[before]).is_ok() {
                self.taken_back.insert(gpa);
            }
        }
    }

    /// Whether the breakpoint at this address was the tool's, and has been taken back.
    pub(super) fn was_taken_back(&self, gpa: Gpa) -> bool {
        self.taken_back.contains(&gpa)
    }
}

fn byte_at(memory: &dyn GuestMemory, gpa: Gpa) -> Result<u8, Refusal> {
    let mut byte = [0];
    memory.read_at(gpa, &mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use oriel_machine::{mock::Scenario, outlet};
    use std::sync::Arc;

    use super::*;

    fn with_memory(test: impl FnOnce(&dyn GuestMemory)) {
        let parts = Scenario::new("memory").build(Arc::new(outlet::Kept::default()));
        test(parts.unwrap().machine.memory());
    }

    fn plant(planted: &mut Planted, memory: &dyn GuestMemory, gpa: Gpa, bytes: &[u8]) {
        planted.note(memory, gpa, bytes).unwrap();
        memory.write_at(gpa, bytes).unwrap();
    }

    #[test]
    fn a_breakpoint_that_is_still_there_is_taken_back() {
        with_memory(|memory| {
            memory.write_at(0x5000, &[0x90, 0x91]).unwrap();
            let mut planted = Planted::default();
            plant(&mut planted, memory, 0x5000, &[0xcc]);
            plant(&mut planted, memory, 0x5000, &[0xcc]);
            planted.take_back(memory);
            assert_eq!(byte_at(memory, 0x5000), Ok(0x90));
            assert!(planted.was_taken_back(0x5000) && !planted.was_taken_back(0x5001));
        });
    }

    #[test]
    fn what_the_tool_or_the_guest_changed_since_stays() {
        with_memory(|memory| {
            let mut planted = Planted::default();
            plant(&mut planted, memory, 0x5000, &[0xcc]);
            plant(&mut planted, memory, 0x5000, &[0xcc, 0xcc]);
            plant(&mut planted, memory, 0x6000, &[0xcc]);
            memory.write_at(0x6000, &[7]).unwrap();
            planted.take_back(memory);
            assert_eq!(byte_at(memory, 0x5000), Ok(0xcc), "it is data now");
            assert_eq!(byte_at(memory, 0x6000), Ok(7));
        });
    }

    #[test]
    fn the_guests_own_breakpoint_is_not_the_tools() {
        with_memory(|memory| {
            memory.write_at(0x5000, &[0xcc]).unwrap();
            let mut planted = Planted::default();
            plant(&mut planted, memory, 0x5000, &[0xcc]);
            assert!(planted.is_empty());
            let hole = planted.note(memory, 1 << 40, &[0xcc]);
            assert_eq!(hole, Err(Refusal::NotFound));
        });
    }
}
