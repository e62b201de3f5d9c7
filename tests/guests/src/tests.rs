use std::collections::HashSet;

use iced_x86::{Decoder, DecoderOptions};

use super::*;

fn all() -> impl Iterator<Item = Guest> {
    NAMES.iter().map(|(name, _)| by_name(name, 2).unwrap())
}

#[test]
fn every_name_has_its_guest_and_a_line_about_it() {
    let names: HashSet<_> = NAMES.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), NAMES.len());
    for ((name, line), guest) in NAMES.iter().zip(all()) {
        assert_eq!(guest.name, *name);
        assert!(!line.is_empty() && !line.contains('\n'), "{name}");
    }
}

#[test]
fn every_guests_code_is_instructions_to_its_last_byte() {
    for guest in all() {
        let code = &guest.image[..guest.code];
        let mut decoder = Decoder::with_ip(64, code, guest.load, DecoderOptions::NONE);
        let mut count = 0;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            assert!(
                !instruction.is_invalid(),
                "{} at {:#x}",
                guest.name,
                instruction.ip()
            );
            count += 1;
        }
        assert!(
            count > 1 && guest.code <= guest.image.len(),
            "{}",
            guest.name
        );
    }
}

#[test]
fn names_that_are_not_there_and_too_few_vcpus_give_nothing() {
    assert_eq!(by_name("no-such-guest", 1), None);
    assert_eq!(by_name("hello", 0), None);
    assert_eq!(by_name("msr-attack-2", 1), None);
}

#[test]
fn conformance_rows_have_names_of_their_own() {
    let names: HashSet<_> = conformance::ROWS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), conformance::ROWS.len());
}

#[test]
fn a_storm_takes_its_number_of_writes() {
    assert_ne!(storm(1, 5).image, storm(1, 6).image);
}

#[test]
fn kernels_are_what_loaders_look_for() {
    use kernels::{Ending, bzimage, vmlinux};
    for ending in [Ending::Finished, Ending::Reset, Ending::TripleFault] {
        assert!(vmlinux(ending).starts_with(b"\x7fELF"));
        assert_eq!(&bzimage(ending)[0x202..0x206], b"HdrS");
    }
    assert_ne!(vmlinux(Ending::Finished), vmlinux(Ending::Reset));
}

#[test]
fn reports_of_a_kernel_are_one_boots_or_nothing() {
    let reports = [1, 2, 2, 0, 10, 1, 16, 20, 1, 30, 40, 5, 6];
    let told = kernels::Told::read(&reports).unwrap();
    assert_eq!(told.ranges, [(0, 10, 1), (16, 20, 1)]);
    assert_eq!((told.initrd, told.processors, told.ticks), ((30, 40), 5, 6));
    for length in 0..reports.len() {
        assert_eq!(kernels::Told::read(&reports[..length]), None, "{length}");
    }
    assert_eq!(kernels::Told::read(&[1, 2, u64::MAX]), None);
}
