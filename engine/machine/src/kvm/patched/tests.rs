use proptest::prelude::*;
use vm_memory::GuestAddress;

use super::*;

fn memory() -> (PatchedRam, GuestMemoryMmap<()>) {
    let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
    (PatchedRam::new(ram.clone()), ram)
}

fn bytes<const N: usize>(memory: &dyn GuestMemory, gpa: Gpa) -> [u8; N] {
    let mut bytes = [0; N];
    memory.read_at(gpa, &mut bytes).unwrap();
    bytes
}

#[test]
fn the_processor_sees_the_int3_and_nobody_else_does() {
    let (patched, ram) = memory();
    patched.write_at(0x100, &[1, 2, 3, 4]).unwrap();
    assert_eq!(patched.set(&[0x101, 0x103].into()), Ok(()));
    assert_eq!(bytes(&ram, 0x100), [1, INT3, 3, INT3]);
    assert_eq!(bytes(&patched, 0x100), [1, 2, 3, 4]);
    assert_eq!(patched.look(0x101), Byte::Managed(2));
    patched.write_at(0x101, &[0x22, 0x33]).unwrap();
    assert_eq!(bytes(&ram, 0x100), [1, INT3, 0x33, INT3]);
    assert_eq!(bytes(&patched, 0x100), [1, 0x22, 0x33, 4]);
    assert_eq!(patched.set(&[].into()), Ok(()));
    assert_eq!(bytes(&ram, 0x100), [1, 0x22, 0x33, 4]);
}

#[test]
fn of_its_breakpoints_only_the_wanted_ones_are_kept_and_none_is_added() {
    let (patched, ram) = memory();
    patched.set(&[0x11, 0x13, 0x15].into()).unwrap();
    patched.keep(&[0x10, 0x13, 0x14, 0x17].into());
    assert_eq!(bytes(&ram, 0x10), [0, 0, 0, INT3, 0, 0, 0, 0]);
    patched.set(&[0x12, 0x13, 0x17].into()).unwrap();
    assert_eq!(bytes(&ram, 0x10), [0, 0, INT3, INT3, 0, 0, 0, INT3]);
    patched.keep(&[].into());
    assert_eq!(bytes(&ram, 0x10), [0; 8]);
}

#[test]
fn what_the_guest_writes_over_a_breakpoint_stays() {
    let (patched, ram) = memory();
    patched.set(&[0x10].into()).unwrap();
    ram.write_at(0x10, &[0x90]).unwrap();
    assert_eq!(bytes(&patched, 0x10), [0x90]);
    assert_eq!(patched.look(0x10), Byte::Other);
    patched.set(&[].into()).unwrap();
    assert_eq!(bytes(&ram, 0x10), [0x90]);
}

#[test]
fn an_int3_of_the_guest_under_a_managed_one_is_told_apart() {
    let (patched, ram) = memory();
    ram.write_at(0x10, &[INT3, INT3]).unwrap();
    patched.set(&[0x10].into()).unwrap();
    assert_eq!(patched.look(0x10), Byte::Managed(INT3));
    assert_eq!(patched.look(0x11), Byte::Unmanaged);
    assert_eq!(bytes(&patched, 0x10), [INT3, INT3]);
}

#[test]
fn an_address_that_is_no_ram_changes_nothing() {
    let (patched, ram) = memory();
    patched.set(&[0x10].into()).unwrap();
    assert_eq!(patched.set(&[0x20, 0x2000].into()), Err(0x2000));
    assert_eq!((bytes(&ram, 0x10), bytes(&ram, 0x20)), ([INT3], [0]));
    assert_eq!(patched.write_at(0x1fff, &[1, 2]), Err(Refusal::NotFound));
    patched.set(&[0x1fff].into()).unwrap();
    assert_eq!(patched.write_at(0x1fff, &[1, 2]), Err(Refusal::NotFound));
    assert_eq!(bytes(&patched, 0x1fff), [0], "and nothing by halves");
}

#[test]
fn a_lifted_breakpoint_comes_back_over_what_was_written_meanwhile() {
    let (patched, ram) = memory();
    ram.write_at(0x10, &[7]).unwrap();
    patched.set(&[0x10].into()).unwrap();
    assert!(patched.lift(0x10));
    assert!(!patched.lift(0x10), "it is away already");
    assert_eq!(bytes(&ram, 0x10), [7]);
    ram.write_at(0x10, &[8]).unwrap();
    patched.lower(0x10);
    assert_eq!((bytes(&ram, 0x10), bytes(&patched, 0x10)), ([INT3], [8]));
    assert!(patched.lift(0x10));
    patched.set(&[].into()).unwrap();
    patched.lower(0x10);
    assert_eq!(bytes(&ram, 0x10), [8], "disarmed meanwhile, it stays away");
}

#[test]
fn memory_that_was_filled_anew_has_them_again() {
    let (patched, ram) = memory();
    patched.set(&[0x10].into()).unwrap();
    ram.write_at(0, &[5; 0x100]).unwrap();
    patched.place_again();
    assert_eq!((bytes(&ram, 0x10), bytes(&patched, 0x10)), ([INT3], [5]));
}

#[test]
fn one_more_or_less_leaves_the_others_and_what_was_written_over_them() {
    let (patched, ram) = memory();
    patched.set(&[0x10, 0x12].into()).unwrap();
    ram.write_at(0x10, &[0x90]).unwrap();
    let more = patched.change(&[0x10, 0x11].into(), |_| true);
    assert_eq!(more, Ok(()));
    assert_eq!(
        bytes(&ram, 0x10),
        [0x90, INT3, INT3],
        "the first is not armed anew"
    );
    assert_eq!(
        patched.change(&[0x11, 0x2000].into(), |_| true),
        Err(0x2000)
    );
    let less = patched.change(&[0x10, 0x11].into(), |_| false);
    assert_eq!(less, Ok(()));
    assert_eq!(bytes(&ram, 0x10), [0x90, 0, INT3]);
    assert_eq!(patched.placed(), [0x12].into());
}

proptest! {
    #[test]
    fn breakpoints_never_change_what_is_read(
        rounds in proptest::collection::vec(
            (proptest::collection::btree_set(0u64..40, 0..12), 0u64..36, proptest::array::uniform4(any::<u8>())),
            1..8,
        ),
    ) {
        let (patched, _) = memory();
        let (plain, _) = memory();
        for (wanted, at, written) in rounds {
            patched.set(&wanted).unwrap();
            patched.write_at(at, &written).unwrap();
            plain.write_at(at, &written).unwrap();
            prop_assert_eq!(bytes::<64>(&patched, 0), bytes::<64>(&plain, 0));
        }
    }
}
