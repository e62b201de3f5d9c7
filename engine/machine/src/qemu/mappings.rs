//! Where a physical page of code lies in virtual memory: QEMU breaks at virtual addresses, and a
//! managed breakpoint is a physical one.
//!
//! Reads the guest's page tables from the top and follows what may be executed. A guest cannot make
//! this long: there is a limit to how many tables are read.

use std::collections::{BTreeMap, BTreeSet};

use oriel_protocol::{Gpa, Gva};

use crate::{GuestMemory, paging::Mode};

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The most tables that one search reads: 64 MiB of them. A kernel's map of 1 TiB of RAM in pages of
/// 2 MiB takes 1,027, and those of its code are few.
const MOST_TABLES: u32 = 16_384;

/// The virtual addresses of each wanted physical one, in the address space of `cr3`.
pub(super) fn find(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    wanted: &BTreeSet<Gpa>,
) -> BTreeMap<Gpa, BTreeSet<Gva>> {
    let mut search = Search {
        memory,
        wanted,
        left: MOST_TABLES,
        levels: 0,
        found: BTreeMap::new(),
    };
    match mode {
        Mode::Off => search.page(0, 0, u64::MAX),
        Mode::Long { levels } => {
            search.levels = u32::from(levels);
            search.table(cr3 & ADDRESS, 0, search.levels);
        }
        // No kernel of today runs in these; what is not found is said to be so.
        Mode::Bits32 { .. } | Mode::Pae => {}
    }
    search.found
}

struct Search<'a> {
    memory: &'a dyn GuestMemory,
    wanted: &'a BTreeSet<Gpa>,
    left: u32,
    levels: u32,
    found: BTreeMap<Gpa, BTreeSet<Gva>>,
}

impl Search<'_> {
    /// Looks through the table at `gpa`, of this level (1 holds 4 KiB pages), from `gva` on.
    fn table(&mut self, gpa: Gpa, gva: Gva, level: u32) {
        let mut bytes = [0; 4096];
        if self.left == 0 || self.memory.read_at(gpa, &mut bytes).is_err() {
            return;
        }
        self.left -= 1;
        let shift = 12 + 9 * (level - 1);
        for (entry, at) in bytes.as_chunks().0.iter().zip(0_u64..) {
            let entry = u64::from_le_bytes(*entry);
            if entry & PRESENT != 0 && entry & NO_EXECUTE == 0 {
                self.entry(entry, gva | at << shift, level);
            }
        }
    }

    fn entry(&mut self, entry: u64, gva: Gva, level: u32) {
        let size = 1 << (12 + 9 * (level - 1));
        if level == 1 || (level <= 3 && entry & LARGE != 0) {
            self.page(gva, entry & ADDRESS & !(size - 1), size);
        } else {
            self.table(entry & ADDRESS, gva, level - 1);
        }
    }

    /// Notes what of the wanted lies in a page of so many bytes.
    fn page(&mut self, gva: Gva, gpa: Gpa, size: u64) {
        let gva = canonical(gva, self.levels);
        for wanted in self.wanted.range(gpa..gpa.saturating_add(size)) {
            let gvas = self.found.entry(*wanted).or_default();
            gvas.insert(gva.wrapping_add(wanted - gpa));
        }
    }
}

/// The address with its top bits as the processor wants them: as the highest that is translated.
const fn canonical(gva: Gva, levels: u32) -> Gva {
    let unused = match levels {
        4 => 16,
        5 => 7,
        _ => 0,
    };
    ((gva << unused).cast_signed() >> unused).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;

    const LONG: Mode = Mode::Long { levels: 4 };

    fn memory(entries: &[(Gpa, u64)]) -> GuestMemoryMmap<()> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10_0000)]).unwrap();
        for (gpa, entry) in entries {
            memory.write_at(*gpa, &entry.to_le_bytes()).unwrap();
        }
        memory
    }

    fn found(memory: &dyn GuestMemory, wanted: Gpa) -> Vec<Gva> {
        let found = find(memory, LONG, 0x1000, &BTreeSet::from([wanted]));
        found.get(&wanted).into_iter().flatten().copied().collect()
    }

    #[test]
    fn code_is_found_at_all_its_addresses_and_data_is_not_code() {
        let memory = memory(&[
            // 0xffffffff80000000 and 0: a page of 2 MiB, and one of 4 KiB in it.
            (0x1000 + 511 * 8, 0x2000 | PRESENT),
            (0x2000 + 510 * 8, 0x3000 | PRESENT),
            (0x3000 + 8, 0x20_0000 | PRESENT | LARGE),
            (0x1000, 0x4000 | PRESENT),
            (0x4000, 0x5000 | PRESENT),
            (0x5000, 0x6000 | PRESENT),
            (0x6000 + 8, 0x20_3000 | PRESENT),
            // The same, not to be executed.
            (0x6000 + 16, 0x20_3000 | PRESENT | NO_EXECUTE),
        ]);
        assert_eq!(found(&memory, 0x20_3010), [0x1010, 0xffff_ffff_8020_3010]);
        assert!(found(&memory, 0x40_0000).is_empty());
    }

    #[test]
    fn tables_that_lead_to_themselves_come_to_an_end() {
        let every: Vec<_> = (0..512)
            .map(|at| (0x1000 + at * 8, 0x1000 | PRESENT))
            .collect();
        let memory = memory(&every);
        assert!(found(&memory, 0x9000).is_empty());
        assert!(!found(&memory, 0x1008).is_empty());
    }

    #[test]
    fn without_paging_virtual_is_physical() {
        let memory = memory(&[]);
        let found = find(&memory, Mode::Off, 0, &BTreeSet::from([0xfff0]));
        assert_eq!(found, BTreeMap::from([(0xfff0, BTreeSet::from([0xfff0]))]));
    }
}
