//! One walk down the tables, and the entries that it went by.

use oriel_protocol::{Gpa, Gva, Refusal};

use super::{Mode, Translation};
use crate::GuestMemory;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
/// Bits 51 to 12: the widest address an entry can hold.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bit 12 of an entry for a large page is a part of its memory type.
const LARGE_PAT: u64 = 1 << 12;
/// The processor sets accessed and dirty behind everybody's back; they say nothing about where an
/// entry leads.
const UNSTABLE: u64 = 1 << 5 | 1 << 6;

/// The most levels there are.
pub(super) const LEVELS: usize = 5;

/// One entry that a walk has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it lies.
    pub(super) gpa: Gpa,
    /// Its bytes: 4 or 8.
    pub(super) size: u8,
    /// What it held, without what the processor changes by itself.
    pub(super) stable: u64,
}

impl Step {
    /// Whether the entry still says the same, by these bytes.
    pub(super) const fn still_holds(&self, bytes: [u8; 8]) -> bool {
        u64::from_le_bytes(bytes) & !UNSTABLE == self.stable
    }
}

/// The entries of one walk, from the top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    steps: [Step; LEVELS],
    length: usize,
}

impl Trail {
    pub(super) fn steps(&self) -> &[Step] {
        self.steps.get(..self.length).unwrap_or_default()
    }

    /// Reads the entry of so many bytes at `gpa`; it has to be present.
    fn read(&mut self, memory: &dyn GuestMemory, gpa: Gpa, size: u8) -> Result<u64, Refusal> {
        let mut bytes = [0; 8];
        memory.read_at(gpa, &mut bytes[..usize::from(size.min(8))])?;
        let entry = u64::from_le_bytes(bytes);
        if let Some(step) = self.steps.get_mut(self.length) {
            let stable = entry & !UNSTABLE;
            *step = Step { gpa, size, stable };
            self.length += 1;
        }
        if entry & PRESENT == 0 {
            return Err(Refusal::NotFound);
        }
        Ok(entry)
    }
}

/// What the entries on the way down allow together.
#[derive(Clone, Copy)]
struct Rights {
    writable: bool,
    user: bool,
    executable: bool,
}

impl Rights {
    const ALL: Self = Self {
        writable: true,
        user: true,
        executable: true,
    };

    const fn and(self, entry: u64) -> Self {
        Self {
            writable: self.writable && entry & WRITE != 0,
            user: self.user && entry & USER != 0,
            executable: self.executable && entry & NO_EXECUTE == 0,
        }
    }

    const fn at(self, gpa: Gpa, page_size: u64) -> Translation {
        Translation {
            gpa,
            page_size,
            writable: self.writable,
            user: self.user,
            executable: self.executable,
        }
    }
}

/// Translates an address, and says by which entries.
pub(super) fn walk(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    gva: Gva,
) -> Result<(Translation, Trail), Refusal> {
    let mut trail = Trail::default();
    let found = match mode {
        Mode::Off => Rights::ALL.at(gva, 4096),
        Mode::Bits32 { pse } => walk_32(memory, pse, cr3, gva, &mut trail)?,
        Mode::Pae => walk_pae(memory, cr3, gva, &mut trail)?,
        Mode::Long { levels } => {
            let levels = u32::from(levels);
            check_canonical(gva, levels)?;
            walk_512(memory, cr3 & ADDRESS, gva, levels, &mut trail)?
        }
    };
    Ok((found, trail))
}

/// The bits that no level translates have to repeat the highest one that a level does.
const fn check_canonical(gva: Gva, levels: u32) -> Result<(), Refusal> {
    let unused = 64 - (12 + 9 * levels);
    let extended = (gva.cast_signed() << unused >> unused).cast_unsigned();
    if extended == gva {
        Ok(())
    } else {
        Err(Refusal::NotFound)
    }
}

/// Walks tables of 512 eight-byte entries from `level` (1 is the lowest) downwards.
fn walk_512(
    memory: &dyn GuestMemory,
    mut table: Gpa,
    gva: Gva,
    level: u32,
    trail: &mut Trail,
) -> Result<Translation, Refusal> {
    let mut rights = Rights::ALL;
    for level in (1..=level).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = trail.read(memory, table + ((gva >> shift) & 0x1ff) * 8, 8)?;
        rights = rights.and(entry);
        if level == 1 || entry & LARGE != 0 {
            let size = 1u64 << shift;
            let page = page_of(entry, level, size)?;
            return Ok(rights.at(page | (gva & (size - 1)), size));
        }
        table = entry & ADDRESS;
    }
    Err(Refusal::NotFound)
}

/// The page that an entry maps. No page is larger than 1 GiB, and the address bits below a large
/// page's size are reserved.
const fn page_of(entry: u64, level: u32, size: u64) -> Result<Gpa, Refusal> {
    let low = entry & ADDRESS & (size - 1);
    let reserved = if level == 1 { low } else { low & !LARGE_PAT };
    if level > 3 || reserved != 0 {
        return Err(Refusal::NotFound);
    }
    Ok(entry & ADDRESS & !(size - 1))
}

fn walk_pae(
    memory: &dyn GuestMemory,
    cr3: u64,
    gva: Gva,
    trail: &mut Trail,
) -> Result<Translation, Refusal> {
    if gva > u64::from(u32::MAX) {
        return Err(Refusal::NotFound);
    }
    let pointer = trail.read(memory, (cr3 & 0xffff_ffe0) + (gva >> 30) * 8, 8)?;
    walk_512(memory, pointer & ADDRESS, gva, 2, trail)
}

fn walk_32(
    memory: &dyn GuestMemory,
    pse: bool,
    cr3: u64,
    gva: Gva,
    trail: &mut Trail,
) -> Result<Translation, Refusal> {
    if gva > u64::from(u32::MAX) {
        return Err(Refusal::NotFound);
    }
    let directory = trail.read(memory, (cr3 & 0xffff_f000) + (gva >> 22) * 4, 4)?;
    let rights = Rights::ALL.and(directory);
    if pse && directory & LARGE != 0 {
        // PSE-36 keeps address bits 39 to 32 in bits 20 to 13.
        let base = (directory & 0xffc0_0000) | (((directory >> 13) & 0xff) << 32);
        return Ok(rights.at(base | (gva & 0x3f_ffff), 4 << 20));
    }
    let table = directory & 0xffff_f000;
    let entry = trail.read(memory, table + ((gva >> 12) & 0x3ff) * 4, 4)?;
    let page = entry & 0xffff_f000;
    Ok(rights.and(entry).at(page | (gva & 0xfff), 4096))
}
