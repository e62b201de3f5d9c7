use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use oriel_protocol::Gpa;
use proptest::prelude::*;
use vm_memory::GuestMemoryMmap;

use super::*;
use crate::paging::{
    naive,
    tests::{LONG, entry, filled, gva, place},
};

/// Memory that is not mapped here: every question to it is a trip.
struct Far {
    memory: GuestMemoryMmap<()>,
    trips: AtomicU32,
}

impl Far {
    fn new(memory: GuestMemoryMmap<()>) -> Self {
        let trips = AtomicU32::new(0);
        Self { memory, trips }
    }

    fn set(&self, at: Gpa, entry: u64) {
        self.memory.write_at(at, &entry.to_le_bytes()).unwrap();
    }

    /// A translation, and how many trips it took.
    fn trips_of(&self, walks: &mut Walks, gva: Gva) -> (Option<Gpa>, u32) {
        self.trips.store(0, Relaxed);
        let found = walks.translate(self, LONG, 0x1000, gva);
        (found.ok().map(|found| found.gpa), self.trips.load(Relaxed))
    }
}

impl GuestMemory for Far {
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        self.trips.fetch_add(1, Relaxed);
        self.memory.read_at(gpa, to)
    }

    fn read_each(&self, pieces: &mut [Piece<'_>]) {
        self.trips.fetch_add(1, Relaxed);
        self.memory.read_each(pieces);
    }

    fn write_at(&self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal> {
        self.memory.write_at(gpa, from)
    }

    fn end(&self) -> Gpa {
        self.memory.end()
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        self.memory.covers(gpa, length)
    }
}

/// PML4 at 0x1000 down to a table at 0x4000, whose first page is at 0x9000.
fn far() -> Far {
    let far = Far::new(filled(&[]));
    for (at, entry) in [
        (0x1000, 0x2007),
        (0x2000, 0x3007),
        (0x3000, 0x4007),
        (0x4000, 0x9007),
    ] {
        far.set(at, entry);
    }
    far
}

#[test]
fn a_kept_walk_takes_one_trip() {
    let (far, mut walks) = (far(), Walks::default());
    assert_eq!(far.trips_of(&mut walks, 0x10), (Some(0x9010), 4));
    assert_eq!(far.trips_of(&mut walks, 0x20), (Some(0x9020), 1));
}

#[test]
fn a_change_on_any_level_is_seen_at_once() {
    for at in [0x1000, 0x2000, 0x3000, 0x4000] {
        let (far, mut walks) = (far(), Walks::default());
        far.trips_of(&mut walks, 0);
        far.set(at, 0);
        assert_eq!(far.trips_of(&mut walks, 0).0, None, "{at:#x}");
    }
}

#[test]
fn a_page_that_is_split_is_seen_at_once() {
    let (far, mut walks) = (far(), Walks::default());
    far.set(0x3000, 0x40_0087);
    assert_eq!(far.trips_of(&mut walks, 0x10).0, Some(0x40_0010));
    far.set(0x3000, 0x4007);
    assert_eq!(far.trips_of(&mut walks, 0x10).0, Some(0x9010));
}

#[test]
fn accessed_and_dirty_bits_change_nothing() {
    let (far, mut walks) = (far(), Walks::default());
    far.trips_of(&mut walks, 0);
    far.set(0x1000, 0x2027);
    far.set(0x4000, 0x9067);
    assert_eq!(far.trips_of(&mut walks, 0), (Some(0x9000), 1));
}

#[test]
fn other_tables_and_other_modes_have_walks_of_their_own() {
    let (far, mut walks) = (far(), Walks::default());
    far.trips_of(&mut walks, 0);
    let elsewhere = walks.translate(&far, LONG, 0x8000, 0);
    assert_eq!(elsewhere, Err(Refusal::NotFound));
    let off = walks.translate(&far, Mode::Off, 0x1000, 0x123).unwrap();
    assert_eq!(off.gpa, 0x123);
}

#[test]
fn mapped_memory_is_walked_and_nothing_is_kept() {
    let (far, mut walks) = (far(), Walks::default());
    let found = walks.translate(&far.memory, LONG, 0x1000, 0x10).unwrap();
    assert_eq!(found.gpa, 0x9010);
    assert!(walks.slots.is_empty());
}

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Deed {
    Look(usize),
    Change(Gpa, u64),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0usize..4).prop_map(Deed::Look),
        1 => (place(), entry()).prop_map(|(at, entry)| Deed::Change(at, entry)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_the_guest_changes_the_answer_is_the_naive_walks(
        entries in prop::collection::vec(entry(), 24),
        gvas in prop::array::uniform4(gva()),
        deeds in prop::collection::vec(deed(), 40),
        levels in 4u8..=5,
    ) {
        let (far, mut walks) = (Far::new(filled(&entries)), Walks::default());
        for deed in deeds {
            match deed {
                Deed::Change(at, entry) => far.set(at, entry),
                Deed::Look(which) => {
                    let gva = gvas[which];
                    let found = walks.translate(&far, Mode::Long { levels }, 0x1000, gva);
                    let naive = naive::long(&far.memory, u32::from(levels), 0x1000, gva);
                    prop_assert_eq!(found.ok(), naive);
                }
            }
        }
    }
}
