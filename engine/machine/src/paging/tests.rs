use proptest::prelude::*;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::*;

pub(super) const LONG: Mode = Mode::Long { levels: 4 };
const NO_EXECUTE: u64 = 1 << 63;

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
fn reserved_bits_make_an_entry_lead_nowhere() {
    let memory = |entry| tables(&[(0x1000, 0x2007), (0x2000, 0x3007), (0x3000, entry)]);
    let found = |entry| translate(&memory(entry), LONG, 0x1000, 0x123);
    assert_eq!(found(0x40_1087).unwrap().gpa, 0x40_0123, "bit 12 is PAT");
    assert_eq!(found(0x40_2087), Err(Refusal::NotFound));
    let of_512_gib = tables(&[(0x1000, 0x87)]);
    assert_eq!(
        translate(&of_512_gib, LONG, 0x1000, 0x123),
        Err(Refusal::NotFound),
        "there is no page of 512 GiB"
    );
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

/// Where the tables of the properties lie, and which of their entries are filled.
pub(super) const TABLES: [Gpa; 6] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000];
const FILLED: [u64; 4] = [0, 1, 2, 511];

/// One entry, mostly present and mostly leading on to another table.
pub(super) fn entry() -> impl Strategy<Value = u64> {
    let address = prop_oneof![
        6 => prop::sample::select(TABLES.as_slice()),
        1 => any::<u64>().prop_map(|bits| bits & 0x000f_ffff_ffff_f000),
        1 => (0u64..64).prop_map(|page| page << 30),
        1 => (0u64..64).prop_map(|page| page << 21),
    ];
    let flags = (
        any::<u64>(),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.2),
    );
    (address, flags).prop_map(|(address, (bits, present, large))| {
        let others = bits & (NO_EXECUTE | 0x7ff0_0000_0000_0f7e);
        address | others | u64::from(present) | u64::from(large) << 7
    })
}

/// An address whose indices are those of filled entries, or any.
pub(super) fn gva() -> impl Strategy<Value = Gva> {
    let index = prop::sample::select(FILLED.as_slice());
    let filled = (prop::collection::vec(index, 5), 0u64..4096).prop_map(|(indices, offset)| {
        let bits = indices.iter().fold(0, |gva, index| gva << 9 | index) << 12 | offset;
        // Sign-extended from bit 47, so that both depths find canonical ones.
        (bits << 16).cast_signed().wrapping_shr(16).cast_unsigned()
    });
    prop_oneof![9 => filled, 1 => any::<u64>()]
}

/// Where the entry of this table and this place lies.
pub(super) fn place() -> impl Strategy<Value = Gpa> {
    let table = prop::sample::select(TABLES.as_slice());
    let index = prop::sample::select(FILLED.as_slice());
    (table, index).prop_map(|(table, index)| table + index * 8)
}

/// Memory with these entries in its tables.
pub(super) fn filled(entries: &[u64]) -> GuestMemoryMmap<()> {
    let places = TABLES
        .iter()
        .flat_map(|table| FILLED.iter().map(move |index| table + index * 8));
    let entries: Vec<_> = places.zip(entries.iter().copied()).collect();
    tables(&entries)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_walk_is_the_naive_one(
        entries in prop::collection::vec(entry(), 24),
        gvas in prop::collection::vec(gva(), 16),
        levels in 4u8..=5,
    ) {
        let memory = filled(&entries);
        for gva in gvas {
            let naive = naive::long(&memory, u32::from(levels), 0x1000, gva);
            prop_assert_eq!(translate(&memory, Mode::Long { levels }, 0x1000, gva).ok(), naive);
        }
    }

    #[test]
    fn the_pieces_of_a_range_are_the_range(
        entries in prop::collection::vec(entry(), 24),
        gva in gva(),
        length in 1usize..20_000,
    ) {
        let memory = filled(&entries);
        let Ok(pieces) = pieces(&memory, LONG, 0x1000, gva, length) else { return Ok(()) };
        let mut at = gva;
        for (gpa, length) in pieces {
            let naive = naive::long(&memory, 4, 0x1000, at);
            prop_assert_eq!(naive.map(|found| found.gpa), Some(gpa));
            at += length as u64;
        }
        prop_assert_eq!(at, gva + length as u64);
    }
}

#[test]
fn the_properties_meet_pages_of_all_sizes() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut sizes = std::collections::BTreeMap::<u64, u32>::new();
    for _ in 0..2000 {
        let entries = prop::collection::vec(entry(), 24)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let gva = gva().new_tree(&mut runner).unwrap().current();
        if let Some(found) = naive::long(&filled(&entries), 4, 0x1000, gva) {
            *sizes.entry(found.page_size).or_default() += 1;
        }
    }
    let of = |size| sizes.get(&size).copied().unwrap_or(0);
    assert!(
        of(4096) > 10 && of(2 << 20) > 10 && of(1 << 30) > 10,
        "{sizes:?}"
    );
}

#[test]
fn tables_that_change_while_they_are_walked_lead_to_one_page_or_nowhere() {
    let memory = tables(&[(0x1000, 0x2007)]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        let (scribbled, over) = (memory.clone(), &over);
        scope.spawn(move || {
            // Entries of all sorts: to any page of memory and beyond, large or not, present or not.
            let mut state = 1u64;
            while !over.load(relaxed) {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let at = 0x1000 + (state >> 20) % 0x4000 / 8 * 8;
                let entry = (state >> 33) & 0x1_f0e7 | NO_EXECUTE & state;
                scribbled.write_at(at, &entry.to_le_bytes()).unwrap();
            }
        });
        for step in 0..20_000u64 {
            let gva = (step * 0x20_1008) & 0xffff_ffff;
            if let Ok(found) = translate(&memory, LONG, 0x1000, gva) {
                let within = found.page_size - 1;
                assert_eq!(found.gpa & within, gva & within, "{found:?}");
            }
        }
        over.store(true, relaxed);
    });
}
