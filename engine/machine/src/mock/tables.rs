//! Real page tables: an identity map of all RAM, and the scenario's ranges over it.
//!
//! ```text
//!   0                                                        end of RAM
//!   │ the scenario's                ◄─ more tables │ GDT IDT │ PML4 │
//! ```

use oriel_protocol::{Gpa, Gva, Refusal, page::PAGE_SIZE};

use super::{cpu::gdt, scenario::Map};
use crate::GuestMemory;

const LARGE_PAGE: u64 = 2 << 20;
/// The level of tables whose entries are 4-KiB pages.
const SMALL: u32 = 1;
/// The level of tables whose entries can be 2-MiB pages.
const MIDDLE: u32 = 2;
const LEVELS: u32 = 4;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// An entry for another table leaves the rights to the tables below.
const TABLE: u64 = PRESENT | WRITE | USER;

/// Where the pages at the end of RAM are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The top table: what CR3 holds at the start.
    pub(super) root: Gpa,
    descriptors: Gpa,
}

impl Layout {
    /// For so much RAM.
    pub(super) const fn of(ram_size: u64) -> Self {
        Self {
            root: ram_size - PAGE_SIZE,
            descriptors: ram_size - 2 * PAGE_SIZE,
        }
    }
}

/// Writes all tables; answers with the lowest address that they take.
pub(super) fn lay(ram: &dyn GuestMemory, maps: &[Map]) -> Result<Gpa, Refusal> {
    let layout = Layout::of(ram.end());
    let mut tables = Tables {
        ram,
        lowest: layout.descriptors,
    };
    tables.descriptors(layout.descriptors)?;
    let mut roots = vec![layout.root];
    tables.identity(layout.root)?;
    for map in maps {
        let root = map.cr3.unwrap_or(layout.root);
        if !roots.contains(&root) {
            roots.push(root);
            tables.identity(root)?;
        }
        tables.map(root, map)?;
    }
    Ok(tables.lowest)
}

struct Tables<'a> {
    ram: &'a dyn GuestMemory,
    /// New tables go below this one.
    lowest: Gpa,
}

impl Tables<'_> {
    fn descriptors(&self, at: Gpa) -> Result<(), Refusal> {
        for (entry, place) in gdt(at + 0x800).into_iter().zip((at..).step_by(8)) {
            self.write(place, entry)?;
        }
        Ok(())
    }

    /// All of RAM where it is, with every right.
    fn identity(&mut self, root: Gpa) -> Result<(), Refusal> {
        let all = Map {
            gva: 0,
            gpa: 0,
            size: self.ram.end(),
            present: true,
            writable: true,
            executable: true,
            user: true,
            cr3: None,
        };
        self.map(root, &all)
    }

    /// In pages as large as fit.
    fn map(&mut self, root: Gpa, map: &Map) -> Result<(), Refusal> {
        let flags = flags(map);
        let mut done = 0;
        while done < map.size {
            let (gva, gpa) = (map.gva + done, map.gpa + done);
            let large = (gva | gpa) % LARGE_PAGE == 0 && map.size - done >= LARGE_PAGE;
            let (level, bit) = if large { (MIDDLE, LARGE) } else { (SMALL, 0) };
            self.put(root, gva, level, gpa | flags | bit)?;
            done += if large { LARGE_PAGE } else { PAGE_SIZE };
        }
        Ok(())
    }

    /// Writes the entry for `gva` in its table of this level.
    fn put(&mut self, root: Gpa, gva: Gva, level: u32, entry: u64) -> Result<(), Refusal> {
        let mut table = root;
        for above in (level + 1..=LEVELS).rev() {
            table = self.below(entry_at(table, gva, above))?;
        }
        self.write(entry_at(table, gva, level), entry)
    }

    /// The table behind an entry: made where there is none, and a large page becomes 512 small
    /// ones.
    fn below(&mut self, at: Gpa) -> Result<Gpa, Refusal> {
        let entry = self.ram.read_u64(at)?;
        if entry & PRESENT != 0 && entry & LARGE == 0 {
            return Ok(entry & ADDRESS);
        }
        let table = self.take()?;
        if entry & LARGE != 0 {
            for index in 0..512 {
                self.write(table + index * 8, (entry & !LARGE) + index * PAGE_SIZE)?;
            }
        }
        self.write(at, table | TABLE)?;
        Ok(table)
    }

    /// An unused page for a table. The lower half of RAM is the scenario's.
    fn take(&mut self) -> Result<Gpa, Refusal> {
        if self.lowest - PAGE_SIZE < self.ram.end() / 2 {
            return Err(Refusal::Limit);
        }
        self.lowest -= PAGE_SIZE;
        Ok(self.lowest)
    }

    fn write(&self, at: Gpa, entry: u64) -> Result<(), Refusal> {
        self.ram.write_at(at, &entry.to_le_bytes())
    }
}

const fn entry_at(table: Gpa, gva: Gva, level: u32) -> Gpa {
    table + ((gva >> (12 + 9 * (level - 1))) & 0x1ff) * 8
}

const fn flags(map: &Map) -> u64 {
    let present = if map.present { PRESENT } else { 0 };
    let write = if map.writable { WRITE } else { 0 };
    let user = if map.user { USER } else { 0 };
    let no_execute = if map.executable { 0 } else { NO_EXECUTE };
    present | write | user | no_execute
}
