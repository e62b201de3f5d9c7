//! The book's tables of commands and events against the tables themselves.

use std::collections::BTreeMap;

use oriel_protocol::{CommandId, Dialect, EventKind, Numbers};

/// Each row of the book's tables that has names and behind them numbers, or a dash for none: the
/// names, and the other cells.
fn rows() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let book = include_str!("../../../docs/kvmi.md");
    let row = |line: &'static str| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        let names = cells.next()?.split('`').step_by(2).collect();
        let cells: Vec<_> = cells.collect();
        let first = *cells.first()?;
        (first == "–" || !numbers(first).is_empty()).then_some((names, cells))
    };
    book.lines().filter_map(row).collect()
}

/// The numbers of a cell; words between them say where they hold.
fn numbers(cell: &str) -> Vec<u16> {
    let words = cell.split(',').map(str::trim);
    words.filter_map(|word| word.parse().ok()).collect()
}

/// The columns of a table are these dialects; every known row has to stand in it once.
fn hold(known: &BTreeMap<&'static str, Numbers>, columns: &[Dialect]) {
    let mut left = known.clone();
    for (names, cells) in rows() {
        if !names.iter().all(|name| known.contains_key(name)) {
            continue;
        }
        for (&dialect, cell) in columns.iter().zip(cells) {
            let of = |name: &&str| known.get(name).and_then(|row| row.of(dialect));
            let expected: Vec<u16> = names.iter().filter_map(of).collect();
            assert_eq!(numbers(cell), expected, "{names:?} in {}", dialect.name());
        }
        names.iter().for_each(|name| {
            assert!(left.remove(name).is_some(), "{name} stands there twice");
        });
    }
    assert!(left.is_empty(), "the book lacks {:?}", left.keys());
}

#[test]
fn the_book_has_every_command_with_its_numbers() {
    let wired = CommandId::all().filter(|id| !id.numbers().is_ours());
    let known = wired.map(|id| (id.name(), id.numbers())).collect();
    hold(&known, &[Dialect::V6, Dialect::V7, Dialect::V12]);
}

#[test]
fn the_book_has_every_event_with_its_numbers() {
    let wired = EventKind::ALL
        .iter()
        .filter(|kind| !kind.numbers().is_ours());
    let known = wired.map(|kind| (kind.name(), kind.numbers())).collect();
    hold(&known, &[Dialect::V7, Dialect::V12]);
}
