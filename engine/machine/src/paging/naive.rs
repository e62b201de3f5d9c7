//! A page walk in as few words as it takes, to compare with: no trail and no table of levels, one
//! step down at a time, written from the figures of SDM vol. 3, 4.5.

use oriel_protocol::{Gpa, Gva};

use super::Translation;
use crate::GuestMemory;

/// Long mode with so many levels.
pub(super) fn long(
    memory: &dyn GuestMemory,
    levels: u32,
    cr3: u64,
    gva: Gva,
) -> Option<Translation> {
    let sign = 12 + 9 * levels - 1;
    let above = gva >> sign;
    if above != 0 && above != u64::MAX >> sign {
        return None;
    }
    descend(memory, levels, field(cr3, 12, 51), gva)
}

fn descend(memory: &dyn GuestMemory, level: u32, table: Gpa, gva: Gva) -> Option<Translation> {
    let index = gva / 4096 / 512u64.pow(level - 1) % 512;
    let entry = memory.read_u64(table + index * 8).ok()?;
    let bit = |number: u32| entry >> number & 1 == 1;
    if !bit(0) {
        return None;
    }
    let below = match (level, bit(7)) {
        (1, _) => page(entry, 12, gva),
        (2, true) if field(entry, 13, 20) == 0 => page(entry, 21, gva),
        (3, true) if field(entry, 13, 29) == 0 => page(entry, 30, gva),
        (_, true) => return None,
        (_, false) => descend(memory, level - 1, field(entry, 12, 51), gva)?,
    };
    Some(Translation {
        writable: below.writable && bit(1),
        user: below.user && bit(2),
        executable: below.executable && !bit(63),
        ..below
    })
}

/// A page of 2 to the `bits` bytes.
fn page(entry: u64, bits: u32, gva: Gva) -> Translation {
    Translation {
        gpa: field(entry, bits, 51) + gva % (1 << bits),
        page_size: 1 << bits,
        writable: true,
        user: true,
        executable: true,
    }
}

/// The bits from `low` to `high`, in their place.
fn field(word: u64, low: u32, high: u32) -> u64 {
    (low..=high).fold(0, |found, bit| found | word & 1 << bit)
}
