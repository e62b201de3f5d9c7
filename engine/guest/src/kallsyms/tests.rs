use super::*;
use crate::forge::{Entry, FORMS, Form};

/// Where the image of the tests is.
const IMAGE: std::ops::Range<Gva> = 0xffff_ffff_8a00_0000..0xffff_ffff_8c00_0000;
/// Where the bytes of a test are.
const START: Gva = 0xffff_ffff_8b00_0000;
/// What is before a table.
const BEFORE: &[u8; 32] = b"read-only data before the table.";

/// Per-CPU symbols first, where the layout can express them, and one name of 300 letters.
fn symbols(layout: Layout, count: u64) -> Vec<Entry> {
    let percpu = [
        (b'A', "fixed_percpu_data".to_owned(), 0),
        (b'D', "current_task".to_owned(), 0x1_f000),
    ];
    let has_them = matches!(layout, Layout::PercpuAbsolute | Layout::Absolute);
    let image = (0..count).map(|number| {
        let name = match number {
            7 => "x".repeat(300),
            _ => format!("symbol_{number}"),
        };
        let kind = if number % 2 == 0 { b'T' } else { b'd' };
        (kind, name, IMAGE.start + number * 0x40)
    });
    let percpu = percpu.into_iter().filter(|_| has_them);
    percpu.chain(image).collect()
}

fn image(form: Form, symbols: &[Entry]) -> Vec<u8> {
    let before = BEFORE.repeat(100);
    let table = form.table(symbols, START + before.len() as u64, IMAGE.start);
    [before, table, b"and behind it".repeat(100)].concat()
}

fn hay(bytes: &[u8]) -> Haystack<'_> {
    Haystack {
        start: START,
        bytes,
        image: IMAGE,
    }
}

#[test]
fn every_layout_gives_every_symbol_back() {
    for form in FORMS {
        for count in [300, 1022, 5000] {
            let symbols = symbols(form.layout, count);
            let bytes = image(form, &symbols);
            let found = decode(&hay(&bytes)).unwrap_or_else(|| panic!("{form:?} {count}"));
            assert_eq!(found.layout, form.layout, "{form:?}");
            assert_eq!(found.symbols.len(), symbols.len());
            for (kind, name, address) in &symbols {
                let symbol = found.symbols.find(name).unwrap();
                assert_eq!((symbol.address, symbol.kind), (*address, char::from(*kind)));
            }
        }
    }
}

#[test]
fn a_table_that_is_damaged_anywhere_is_none_or_has_as_many_symbols() {
    let form = FORMS[1];
    let symbols = symbols(form.layout, 700);
    let bytes = image(form, &symbols);
    for at in (0..bytes.len()).step_by(37) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        if let Some(found) = decode(&hay(&damaged)) {
            assert_eq!(found.symbols.len(), symbols.len(), "{at}");
        }
    }
}

#[test]
fn a_table_that_is_cut_is_none() {
    let form = FORMS[2];
    let bytes = image(form, &symbols(form.layout, 700));
    let whole = decode(&hay(&bytes)).unwrap();
    let tokens = usize::try_from(whole.place.tokens - START).unwrap();
    for length in (0..tokens + 512).step_by(101) {
        assert!(decode(&hay(&bytes[..length])).is_none(), "{length}");
    }
}

#[test]
fn addresses_outside_the_image_are_not_believed() {
    let form = FORMS[0];
    let bytes = image(form, &symbols(form.layout, 700));
    let elsewhere = Haystack {
        image: 0xffff_ffff_a000_0000..0xffff_ffff_a200_0000,
        ..hay(&bytes)
    };
    assert!(decode(&elsewhere).is_none());
}

#[test]
fn a_place_full_of_markers_is_left_soon() {
    let rows = (0..200_000u32).flat_map(|number| (number % 40 * 600).to_le_bytes());
    let rows: Vec<_> = rows.collect();
    let form = FORMS[0];
    let mut table = form.table(&symbols(form.layout, 700), START, IMAGE.start);
    let found = decode(&hay(&table)).unwrap();
    // The tokens stay; what was before them is all rows.
    let tokens = usize::try_from(found.place.tokens - START).unwrap();
    let behind = table.split_off(tokens);
    assert!(decode(&hay(&[rows, behind].concat())).is_none());
}

#[test]
fn zeros_where_addresses_could_be_are_none() {
    let form = FORMS[7];
    let symbols = symbols(form.layout, 700);
    let table = form.table(&symbols, START + 0x4000, IMAGE.start);
    let bytes = [vec![0; 0x4000], table].concat();
    let found = decode(&hay(&bytes)).unwrap();
    assert_eq!(
        found.layout, form.layout,
        "zeros before it count from their own places"
    );
}
