//! The software page walk that all machines share (SDM vol. 3, chapter 4): 4-level and 5-level
//! paging with 4 KiB, 2 MiB and 1 GiB pages, PAE and 32-bit paging with theirs.
//!
//! It reads the guest's tables afresh each time, and never writes accessed or dirty bits.

use oriel_protocol::{Gpa, Gva, Refusal, x86::Special};

use crate::GuestMemory;

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
/// Bits 51 to 12: the widest address an entry can hold.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const EFER_LMA: u64 = 1 << 10;

/// How addresses are translated: the bits of the control registers that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Paging is off: virtual is physical.
    Off,
    /// Two levels of 4-byte entries.
    Bits32 {
        /// 4 MiB pages are on.
        pse: bool,
    },
    /// Three levels.
    Pae,
    /// Long mode: 4 or 5 levels.
    Long {
        /// 4 or 5.
        levels: u8,
    },
}

impl Mode {
    /// The mode that these registers put a vCPU in.
    pub const fn of(special: &Special) -> Self {
        if special.cr0 & CR0_PG == 0 {
            Self::Off
        } else if special.efer & EFER_LMA != 0 {
            Self::Long {
                levels: if special.cr4 & CR4_LA57 != 0 { 5 } else { 4 },
            }
        } else if special.cr4 & CR4_PAE != 0 {
            Self::Pae
        } else {
            Self::Bits32 {
                pse: special.cr4 & CR4_PSE != 0,
            }
        }
    }
}

/// Where a virtual address leads, and what the tables allow there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The physical address.
    pub gpa: Gpa,
    /// Bytes of the page that it lies in.
    pub page_size: u64,
    /// Writing is allowed (CR0.WP aside).
    pub writable: bool,
    /// User mode is allowed.
    pub user: bool,
    /// Executing is allowed.
    pub executable: bool,
}

/// Translates an address with the tables at `cr3`.
///
/// # Errors
/// [`Refusal::NotFound`] where nothing is mapped, a table lies outside RAM, or the address is not
/// canonical.
pub fn translate(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    gva: Gva,
) -> Result<Translation, Refusal> {
    match mode {
        Mode::Off => Ok(Translation {
            gpa: gva,
            page_size: 4096,
            writable: true,
            user: true,
            executable: true,
        }),
        Mode::Bits32 { pse } => walk_32(memory, pse, cr3, gva),
        Mode::Pae => walk_pae(memory, cr3, gva),
        Mode::Long { levels } => {
            let unused = 64 - (12 + 9 * u32::from(levels));
            let extended = (gva.cast_signed() << unused >> unused).cast_unsigned();
            if extended != gva {
                return Err(Refusal::NotFound);
            }
            walk(memory, cr3 & ADDRESS, gva, u32::from(levels), Rights::ALL)
        }
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

/// Walks tables of 512 eight-byte entries from `level` (1 is the lowest) downwards.
fn walk(
    memory: &dyn GuestMemory,
    table: Gpa,
    gva: Gva,
    level: u32,
    mut rights: Rights,
) -> Result<Translation, Refusal> {
    let mut table = table;
    for level in (1..=level).rev() {
        let shift = 12 + 9 * (level - 1);
        let entry = memory.read_u64(table + ((gva >> shift) & 0x1ff) * 8)?;
        if entry & PRESENT == 0 {
            return Err(Refusal::NotFound);
        }
        rights = rights.and(entry);
        let is_page = level == 1 || (entry & LARGE != 0 && level <= 3);
        if is_page {
            let size = 1u64 << shift;
            return Ok(rights.at((entry & ADDRESS & !(size - 1)) | (gva & (size - 1)), size));
        }
        table = entry & ADDRESS;
    }
    Err(Refusal::NotFound)
}

fn walk_pae(memory: &dyn GuestMemory, cr3: u64, gva: Gva) -> Result<Translation, Refusal> {
    if gva > u64::from(u32::MAX) {
        return Err(Refusal::NotFound);
    }
    let pointer = memory.read_u64((cr3 & 0xffff_ffe0) + (gva >> 30) * 8)?;
    if pointer & PRESENT == 0 {
        return Err(Refusal::NotFound);
    }
    walk(memory, pointer & ADDRESS, gva, 2, Rights::ALL)
}

fn walk_32(
    memory: &dyn GuestMemory,
    pse: bool,
    cr3: u64,
    gva: Gva,
) -> Result<Translation, Refusal> {
    if gva > u64::from(u32::MAX) {
        return Err(Refusal::NotFound);
    }
    let directory = read_u32(memory, (cr3 & 0xffff_f000) + (gva >> 22) * 4)?;
    if directory & PRESENT == 0 {
        return Err(Refusal::NotFound);
    }
    let rights = Rights::ALL.and(directory);
    if pse && directory & LARGE != 0 {
        // PSE-36 keeps address bits 39 to 32 in bits 20 to 13.
        let base = (directory & 0xffc0_0000) | (((directory >> 13) & 0xff) << 32);
        return Ok(rights.at(base | (gva & 0x3f_ffff), 4 << 20));
    }
    let entry = read_u32(
        memory,
        (directory & 0xffff_f000) + ((gva >> 12) & 0x3ff) * 4,
    )?;
    if entry & PRESENT == 0 {
        return Err(Refusal::NotFound);
    }
    Ok(rights
        .and(entry)
        .at((entry & 0xffff_f000) | (gva & 0xfff), 4096))
}

fn read_u32(memory: &dyn GuestMemory, gpa: Gpa) -> Result<u64, Refusal> {
    let mut word = [0; 4];
    memory.read_at(gpa, &mut word)?;
    Ok(u64::from(u32::from_le_bytes(word)))
}

/// The physical pieces of a virtual range, in order: address and length of each.
///
/// # Errors
/// As [`translate`], for the first page that is not mapped.
pub fn pieces(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    gva: Gva,
    length: usize,
) -> Result<Vec<(Gpa, usize)>, Refusal> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < length {
        let at = gva.checked_add(done as u64).ok_or(Refusal::NotFound)?;
        let found = translate(memory, mode, cr3, at)?;
        let left_in_page = found.page_size - (at & (found.page_size - 1));
        let piece = (length - done).min(usize::try_from(left_in_page).unwrap_or(usize::MAX));
        pieces.push((found.gpa, piece));
        done += piece;
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;

    const LONG: Mode = Mode::Long { levels: 4 };

    /// PML4 at 0x1000, PDPT at 0x2000, PD at 0x3000, PT at 0x4000.
    fn tables(entries: &[(Gpa, u64)]) -> GuestMemoryMmap<()> {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
        for &(gpa, entry) in entries {
            memory.write_at(gpa, &entry.to_le_bytes()).unwrap();
        }
        memory
    }

    #[test]
    fn a_four_kib_page_is_found_with_the_rights_of_all_levels() {
        let memory = tables(&[
            (0x1000, 0x2003),
            (0x2000, 0x3007),
            (0x3000, 0x4007),
            (0x4008, 0x9005 | NO_EXECUTE),
        ]);
        let found = translate(&memory, LONG, 0x1000, 0x1234).unwrap();
        assert_eq!(found.gpa, 0x9234);
        assert_eq!(
            (found.writable, found.user, found.executable),
            (false, false, false)
        );
    }

    #[test]
    fn large_pages_keep_the_low_bits_of_the_address() {
        let memory = tables(&[
            (0x1000, 0x2007),
            (0x2008, 0x4000_0087),
            (0x2000, 0x3007),
            (0x3008, 0x20_0087),
        ]);
        let two_mib = translate(&memory, LONG, 0x1000, 0x2f_1234).unwrap();
        assert_eq!((two_mib.gpa, two_mib.page_size), (0x2f_1234, 2 << 20));
        let one_gib = translate(&memory, LONG, 0x1000, 0x4765_4321).unwrap();
        assert_eq!((one_gib.gpa, one_gib.page_size), (0x4765_4321, 1 << 30));
    }

    #[test]
    fn unmapped_and_non_canonical_addresses_are_not_found() {
        let memory = tables(&[(0x1000, 0x2007)]);
        assert_eq!(
            translate(&memory, LONG, 0x1000, 0x1000),
            Err(Refusal::NotFound)
        );
        assert_eq!(
            translate(&memory, LONG, 0x1000, 1 << 47),
            Err(Refusal::NotFound)
        );
        assert_eq!(
            translate(&memory, LONG, 0xdead_0000, 0),
            Err(Refusal::NotFound),
            "tables outside RAM"
        );
    }

    #[test]
    fn five_levels_start_one_table_higher() {
        let memory = tables(&[
            (0x5000, 0x1007),
            (0x1000, 0x2007),
            (0x2000, 0x3007),
            (0x3000, 0x4007),
            (0x4000, 0x8007),
        ]);
        let found = translate(&memory, Mode::Long { levels: 5 }, 0x5000, 0x10).unwrap();
        assert_eq!(found.gpa, 0x8010);
    }

    #[test]
    fn a_range_over_pages_comes_in_pieces() {
        let memory = tables(&[
            (0x1000, 0x2007),
            (0x2000, 0x3007),
            (0x3000, 0x4007),
            (0x4000, 0x9007),
            (0x4008, 0x6007),
        ]);
        assert_eq!(
            pieces(&memory, LONG, 0x1000, 0xff0, 0x20),
            Ok(vec![(0x9ff0, 0x10), (0x6000, 0x10)])
        );
        assert_eq!(
            pieces(&memory, LONG, 0x1000, 0x1ff0, 0x20),
            Err(Refusal::NotFound)
        );
    }

    #[test]
    fn thirty_two_bit_paging_has_two_levels_or_four_mib_pages() {
        let memory = tables(&[(0x1000, 0x2007 | (0x40_0087u64 << 32)), (0x2000, 0x7007)]);
        let small = translate(&memory, Mode::Bits32 { pse: true }, 0x1000, 0x123).unwrap();
        assert_eq!(small.gpa, 0x7123);
        let large = translate(&memory, Mode::Bits32 { pse: true }, 0x1000, 0x40_0123).unwrap();
        assert_eq!((large.gpa, large.page_size), (0x40_0123, 4 << 20));
    }
}
