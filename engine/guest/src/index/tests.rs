use oriel_machine::paging::Mode;
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::*;
use crate::{
    Area, Boots, Source,
    forge::{FORMS, Forged},
    kallsyms::Layout as Written,
};

const SLIDE: u64 = 0x1a00_0000;

fn index(guest: &Forged, sight: Sight) -> Index {
    Index::build(guest.memory(), &[sight]).unwrap()
}

#[test]
fn a_kernel_is_found_with_its_symbols_types_and_slide() {
    let forged = Forged::new(SLIDE);
    let index = index(&forged, forged.sight());
    assert_eq!(index.kernel().start(), forged.at(0));
    assert_eq!(index.kernel().source, Source::Lstar);
    assert_eq!(index.release(), "9.9.9-forged");
    assert_eq!(index.slide().unwrap().value, SLIDE);
    assert_eq!(index.tables().source, Source::Kallsyms);
    let symbols = index.symbols().unwrap();
    assert_eq!(symbols.address("__x64_sys_write"), Some(forged.at(0x1040)));
    assert_eq!(index.types_found().unwrap().source, Source::Kallsyms);
}

#[test]
fn every_anchor_leads_to_the_same_kernel() {
    let forged = Forged::new(SLIDE);
    let without_lstar = Sight {
        lstar: None,
        ..forged.sight()
    };
    let by_idt = index(&forged, without_lstar);
    assert_eq!(by_idt.kernel().source, Source::Idt);
    let without_both = Sight {
        idt: None,
        ..without_lstar
    };
    let by_pages = index(&forged, without_both);
    assert_eq!(by_pages.kernel().source, Source::PageTables);
    assert_eq!(by_pages.kernel().runs, by_idt.kernel().runs);
    let lying = Sight {
        lstar: Some(0xffff_ffff_bfff_0000),
        ..forged.sight()
    };
    assert_eq!(index(&forged, lying).kernel().source, Source::Idt);
}

#[test]
fn from_user_mode_the_kernels_half_of_the_tables_is_taken() {
    let forged = Forged::new(SLIDE);
    let index = index(&forged, forged.sight_of_user());
    assert_eq!(index.kernel().cr3 & 0x1000, 0);
    assert_eq!(
        index.symbols().unwrap().address("_text"),
        Some(forged.at(0))
    );
}

#[test]
fn every_form_of_symbols_is_found_in_a_guest() {
    for form in FORMS {
        // What is not absolute cannot say where a per-CPU variable is in its area.
        if matches!(form.layout, Written::Relative | Written::SelfRelative) {
            continue;
        }
        let forged = Forged::with(0, form, true);
        let index = index(&forged, forged.sight());
        assert_eq!(index.kallsyms().unwrap().layout, form.layout);
        assert!(index.guest(forged.memory()).tasks().is_ok());
    }
}

#[test]
fn types_without_symbols_that_name_them_are_found_by_how_they_look() {
    let forged = Forged::new(0);
    // The digits are gone, and with them the table of symbols.
    let whole = index(&forged, forged.sight());
    let tokens = whole.kallsyms().unwrap().place.tokens;
    for word in 0..64 {
        forged.word(tokens + word * 8, 0);
    }
    let without = index(&forged, forged.sight());
    assert_eq!(without.symbols().unwrap_err(), Unknown::NoSymbols);
    assert_eq!(without.types_found().unwrap().source, Source::Shape);
    assert_eq!(without.slide(), Err(Unknown::NoSymbols));
    // The first task is found by its name, which types have a place for.
    let first = without.init_task().unwrap();
    assert_eq!(
        (first.value, first.source),
        (forged.init_task(), Source::Shape)
    );
    let guest = without.guest(forged.memory());
    assert_eq!(guest.area(Area::Text).unwrap().source, Source::PageTables);
}

#[test]
fn a_guest_that_has_no_kernel_yet_is_no_error_of_ours() {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap();
    let off = Sight {
        mode: Mode::Off,
        ..Forged::new(0).sight()
    };
    assert_eq!(
        Index::build(&memory, &[]).unwrap_err(),
        Unknown::NotLongMode
    );
    assert_eq!(
        Index::build(&memory, &[off]).unwrap_err(),
        Unknown::NotLongMode
    );
    let long = Sight {
        mode: Mode::Long { levels: 4 },
        cr3: 0x1000,
        ..off
    };
    assert_eq!(
        Index::build(&memory, &[long]).unwrap_err(),
        Unknown::NoKernel
    );
}

#[test]
fn an_index_is_kept_until_the_guest_boots_again() {
    let boots = Boots::new();
    let first = Forged::new(0);
    let index = boots.index(first.memory(), &[first.sight()]).unwrap();
    let same = boots.index(first.memory(), &[first.sight()]).unwrap();
    assert!(Arc::ptr_eq(&index, &same));
    let moved = Forged::new(SLIDE);
    assert!(!index.holds(moved.memory()));
    let anew = boots.index(moved.memory(), &[moved.sight()]).unwrap();
    assert_eq!(anew.slide().unwrap().value, SLIDE);
}

#[test]
fn a_kernel_whose_banner_is_written_over_is_not_hidden_by_that() {
    let boots = Boots::new();
    let forged = Forged::new(SLIDE);
    let whole = boots.index(forged.memory(), &[forged.sight()]).unwrap();
    let banner = whole.symbols().unwrap().address("linux_banner").unwrap();
    for (bytes, shown) in [
        (&b"Xinux"[..], "Xinux version"),
        (b"X\xff", "X"),
        (b"\0", ""),
    ] {
        forged.write(banner, bytes);
        let index = boots.index(forged.memory(), &[forged.sight()]).unwrap();
        assert!(index.banner().value.starts_with(shown));
        assert_eq!(index.slide().unwrap().value, SLIDE);
        assert_eq!(
            index.symbols().unwrap().len(),
            whole.symbols().unwrap().len()
        );
        let again = boots.index(forged.memory(), &[forged.sight()]).unwrap();
        assert!(
            Arc::ptr_eq(&index, &again),
            "it is made once for each banner"
        );
    }
}

#[test]
fn a_kernel_that_is_gone_and_has_left_its_memory_behind_is_not_asked() {
    let boots = Boots::new();
    let forged = Forged::new(0);
    let index = boots.index(forged.memory(), &[forged.sight()]).unwrap();
    let elsewhere = Sight {
        cr3: 0xf000,
        ..forged.sight()
    };
    assert!(index.holds(forged.memory()), "it is all there still");
    assert!(!index.runs(forged.memory(), &[elsewhere]));
    let gone = boots.index(forged.memory(), &[elsewhere]);
    assert_eq!(gone.unwrap_err(), Unknown::NoKernel);
    let firmware = Sight {
        mode: Mode::Off,
        ..forged.sight()
    };
    let early = boots.index(forged.memory(), &[firmware]);
    assert_eq!(early.unwrap_err(), Unknown::NotLongMode);
    // A vCPU alone of several is enough, in user mode too.
    let sights = [elsewhere, firmware, forged.sight_of_user()];
    let back = boots.index(forged.memory(), &sights).unwrap();
    assert!(Arc::ptr_eq(&index, &back));
}

#[test]
fn damage_anywhere_in_tables_never_does_more_than_hide_something() {
    for at in (0..0x9000).step_by(0x211) {
        let forged = Forged::new(0);
        forged.word(0xffff_8880_0000_0000 + at / 8 * 8, 0xdead_beef_dead_beef);
        if let Ok(index) = Index::build(forged.memory(), &[forged.sight()]) {
            let _ = index.guest(forged.memory()).cross_view(&[forged.sight()]);
        }
    }
}
