//! The memory type of an address by the MTRRs (SDM vol. 3, section 13.11).

use oriel_protocol::Gpa;

const DEFAULT: u32 = 0x2ff;
const FIRST_BASE: u32 = 0x200;
const FIRST_MASK: u32 = 0x201;
const VARIABLE: u32 = 8;
const ENABLED: u64 = 1 << 11;
const FIXED_ENABLED: u64 = 1 << 10;
const VALID: u64 = 1 << 11;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const UNCACHED: u8 = 0;
const WRITE_THROUGH: u8 = 4;

/// The memory type of an address; none where the MTRRs cannot be read.
pub(super) fn memory_type(gpa: Gpa, read: impl Fn(u32) -> Option<u64>) -> Option<u8> {
    let default = read(DEFAULT)?;
    if default & ENABLED == 0 {
        return Some(UNCACHED);
    }
    if default & FIXED_ENABLED != 0
        && let Some((msr, byte)) = fixed(gpa)
    {
        return read(msr).map(|types| types.to_le_bytes()[byte]);
    }
    let types = (0..VARIABLE).filter_map(|pair| {
        let (base, mask) = (read(FIRST_BASE + 2 * pair)?, read(FIRST_MASK + 2 * pair)?);
        let inside = (gpa ^ base) & mask & ADDRESS == 0;
        (mask & VALID != 0 && inside).then_some(base.to_le_bytes()[0])
    });
    Some(types.reduce(precedence).unwrap_or(default.to_le_bytes()[0]))
}

/// Which fixed-range MSR, and which of its bytes, has the type of an address below 1 MiB.
fn fixed(gpa: Gpa) -> Option<(u32, usize)> {
    let (msr, granule, from) = match gpa {
        0..0x8_0000 => (0x250, 16, 0),
        0x8_0000..0xa_0000 => (0x258, 14, 0x8_0000),
        0xa_0000..0xc_0000 => (0x259, 14, 0xa_0000),
        0xc_0000..0x10_0000 => (0x268 + ((gpa - 0xc_0000) >> 15), 12, gpa & !0x7fff),
        _ => return None,
    };
    let byte = usize::try_from((gpa - from) >> granule).ok()?;
    Some((u32::try_from(msr).ok()?, byte))
}

/// Where ranges overlap, uncached wins, then write-through (SDM vol. 3, section 13.11.4.1).
fn precedence(one: u8, other: u8) -> u8 {
    if one == other {
        one
    } else if one == UNCACHED || other == UNCACHED {
        UNCACHED
    } else if one == WRITE_THROUGH || other == WRITE_THROUGH {
        WRITE_THROUGH
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn at(gpa: Gpa, msrs: &[(u32, u64)]) -> Option<u8> {
        let msrs: HashMap<_, _> = msrs.iter().copied().collect();
        memory_type(gpa, |msr| Some(msrs.get(&msr).copied().unwrap_or(0)))
    }

    #[test]
    fn without_mtrrs_all_memory_is_uncached() {
        assert_eq!(at(0x1000, &[(DEFAULT, 6)]), Some(UNCACHED));
        assert_eq!(memory_type(0, |_| None), None);
    }

    #[test]
    fn the_default_holds_where_no_range_does() {
        let msrs = [
            (DEFAULT, ENABLED | 6),
            (0x200, 0xd000_0000),
            (0x201, 0xf_ffff_f000_0000 | VALID),
        ];
        assert_eq!(at(0x1000_0000, &msrs), Some(6));
        assert_eq!(at(0xd000_0000, &msrs), Some(0));
        assert_eq!(at(0xdfff_ffff, &msrs), Some(0));
        assert_eq!(at(0xe000_0000, &msrs), Some(6));
    }

    #[test]
    fn the_stricter_of_two_ranges_wins() {
        let all = 0x8000_0000_0000 | VALID;
        let ranges = [(0x200, 6), (0x201, all), (0x202, 4), (0x203, all)];
        let msrs = [&[(DEFAULT, ENABLED | 1)], &ranges[..]].concat();
        assert_eq!(at(0x1000_0000, &msrs), Some(WRITE_THROUGH));
    }

    #[test]
    fn fixed_ranges_cover_the_first_megabyte() {
        let on = (DEFAULT, ENABLED | FIXED_ENABLED | 6);
        assert_eq!(at(0x7_0000, &[on, (0x250, 5 << 56)]), Some(5));
        assert_eq!(at(0x8_4000, &[on, (0x258, 1 << 8)]), Some(1));
        assert_eq!(at(0xa_0000, &[on, (0x259, 4)]), Some(4));
        assert_eq!(at(0xf_f000, &[on, (0x26f, 5 << 56)]), Some(5));
        assert_eq!(at(0x10_0000, &[on]), Some(6));
    }
}
