//! Guest RAM with managed breakpoints in it: INT3 bytes that only the guest's processor sees.
//!
//! ```text
//!   the processor fetches 0xCC        Oriel reads the saved byte, and writes go to it
//! ```
//! A byte that is no 0xCC any more has been overwritten by the guest: what it wrote is what
//! everybody sees, and the breakpoint is gone until it is armed anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use oriel_protocol::{Gpa, Refusal};
use vm_memory::GuestMemoryMmap;

use crate::GuestMemory;

const INT3: u8 = 0xcc;

/// What lies at an address where a vCPU has met an INT3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Byte {
    /// A managed breakpoint, over this byte.
    Managed(u8),
    /// An INT3 that is the guest's, or was written by a tool.
    Unmanaged,
    /// No INT3: it has been taken away meanwhile.
    Other,
}

/// Guest RAM, as the engine reads and writes it.
pub struct PatchedRam {
    ram: GuestMemoryMmap<()>,
    /// The bytes under the breakpoints.
    saved: RwLock<BTreeMap<Gpa, u8>>,
}

impl PatchedRam {
    /// RAM without breakpoints, by a mapping that nobody protects.
    pub fn new(ram: GuestMemoryMmap<()>) -> Self {
        Self {
            ram,
            saved: RwLock::default(),
        }
    }

    /// Has breakpoints at these addresses and nowhere else. What is there already costs nothing but
    /// a comparison.
    ///
    /// # Errors
    /// The first address that is not RAM; then nothing has changed.
    pub(super) fn set(&self, wanted: &BTreeSet<Gpa>) -> Result<(), Gpa> {
        let mut saved = self.write();
        let (gone, fresh) = difference(&saved, wanted);
        self.replace(&mut saved, &gone, &fresh)
    }

    /// The same for these addresses alone, at some of which a breakpoint is wanted.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub(super) fn change(
        &self,
        at: &BTreeSet<Gpa>,
        is_wanted: impl Fn(&Gpa) -> bool,
    ) -> Result<(), Gpa> {
        let mut saved = self.write();
        let (fresh, gone): (Vec<_>, Vec<_>) = at.iter().partition(|gpa| is_wanted(gpa));
        let fresh: Vec<_> = fresh
            .into_iter()
            .filter(|gpa| !saved.contains_key(gpa))
            .collect();
        self.replace(&mut saved, &gone, &fresh)
    }

    /// Where there are breakpoints.
    pub(super) fn placed(&self) -> BTreeSet<Gpa> {
        self.read().keys().copied().collect()
    }

    fn replace(
        &self,
        saved: &mut BTreeMap<Gpa, u8>,
        gone: &[Gpa],
        fresh: &[Gpa],
    ) -> Result<(), Gpa> {
        if let Some(gpa) = fresh.iter().find(|gpa| !self.ram.covers(**gpa, 1)) {
            return Err(*gpa);
        }
        self.take_away(saved, gone);
        for &gpa in fresh {
            saved.insert(gpa, self.byte(gpa));
            self.put(gpa, INT3);
        }
        Ok(())
    }

    /// Has those of its breakpoints that are among these.
    pub(super) fn keep(&self, wanted: &BTreeSet<Gpa>) {
        let mut saved = self.write();
        let (gone, _) = difference(&saved, wanted);
        self.take_away(&mut saved, &gone);
    }

    fn take_away(&self, saved: &mut BTreeMap<Gpa, u8>, gone: &[Gpa]) {
        for gpa in gone {
            if let Some(original) = saved.remove(gpa) {
                self.swap(*gpa, INT3, original);
            }
        }
    }

    /// Places the breakpoints anew, after memory was filled behind their back.
    pub(super) fn place_again(&self) {
        let mut saved = self.write();
        for (gpa, original) in saved.iter_mut() {
            *original = self.byte(*gpa);
            self.put(*gpa, INT3);
        }
    }

    /// What lies here.
    pub(super) fn look(&self, gpa: Gpa) -> Byte {
        let saved = self.read();
        match (self.byte(gpa), saved.get(&gpa)) {
            (INT3, Some(original)) => Byte::Managed(*original),
            (INT3, None) => Byte::Unmanaged,
            _ => Byte::Other,
        }
    }

    /// Whether there is a breakpoint here.
    pub(super) fn is_managed(&self, gpa: Gpa) -> bool {
        self.read().contains_key(&gpa)
    }

    /// Takes the INT3 away for an instruction, while the other vCPUs are held; whether there is one.
    pub(super) fn lift(&self, gpa: Gpa) -> bool {
        let saved = self.write();
        let original = saved.get(&gpa).filter(|_| self.byte(gpa) == INT3);
        if let Some(original) = original {
            self.put(gpa, *original);
        }
        original.is_some()
    }

    /// Puts it back, over whatever the instruction has written there.
    pub(super) fn lower(&self, gpa: Gpa) {
        if let Some(original) = self.write().get_mut(&gpa) {
            *original = self.byte(gpa);
            self.put(gpa, INT3);
        }
    }

    /// Replaces a byte, if it is what it should be.
    fn swap(&self, gpa: Gpa, expected: u8, to: u8) {
        if self.byte(gpa) == expected {
            self.put(gpa, to);
        }
    }

    fn byte(&self, gpa: Gpa) -> u8 {
        let mut byte = [0];
        // Where there is no RAM there is no breakpoint either.
        let _ = self.ram.read_at(gpa, &mut byte);
        byte[0]
    }

    fn put(&self, gpa: Gpa, byte: u8) {
        // As above.
        let _ = self.ram.write_at(gpa, &[byte]);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Gpa, u8>> {
        self.saved.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Gpa, u8>> {
        self.saved.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the table and not wanted, and what is wanted and not in the table, by one walk along
/// both.
fn difference(saved: &BTreeMap<Gpa, u8>, wanted: &BTreeSet<Gpa>) -> (Vec<Gpa>, Vec<Gpa>) {
    let (mut gone, mut fresh) = (Vec::new(), Vec::new());
    let mut wanted = wanted.iter().copied().peekable();
    for &placed in saved.keys() {
        fresh.extend(std::iter::from_fn(|| wanted.next_if(|next| *next < placed)));
        if wanted.next_if_eq(&placed).is_none() {
            gone.push(placed);
        }
    }
    fresh.extend(wanted);
    (gone, fresh)
}

/// The breakpoints in so many bytes from an address on: offset and original of each.
fn within(
    saved: &BTreeMap<Gpa, u8>,
    gpa: Gpa,
    length: usize,
) -> impl Iterator<Item = (usize, Gpa)> {
    let end = gpa.saturating_add(length as u64);
    saved
        .range(gpa..end)
        .filter_map(move |(at, _)| Some((usize::try_from(at - gpa).ok()?, *at)))
}

impl GuestMemory for PatchedRam {
    fn is_near(&self) -> bool {
        true
    }

    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        let saved = self.read();
        self.ram.read_at(gpa, to)?;
        if saved.is_empty() {
            return Ok(());
        }
        for (offset, at) in within(&saved, gpa, to.len()) {
            if to[offset] == INT3 {
                to[offset] = saved[&at];
            }
        }
        Ok(())
    }

    fn write_at(&self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal> {
        let mut saved = self.write();
        let under: Vec<_> = within(&saved, gpa, from.len()).collect();
        if under.is_empty() {
            return self.ram.write_at(gpa, from);
        }
        if !self.ram.covers(gpa, from.len() as u64) {
            return Err(Refusal::NotFound);
        }
        let mut bytes = from.to_vec();
        for (offset, at) in under {
            let stands = self.byte(at) == INT3;
            saved.insert(at, bytes[offset]);
            if stands {
                bytes[offset] = INT3;
            }
        }
        self.ram.write_at(gpa, &bytes)
    }

    fn end(&self) -> Gpa {
        self.ram.end()
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        self.ram.covers(gpa, length)
    }
}

#[cfg(test)]
mod tests;
