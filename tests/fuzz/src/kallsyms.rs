//! A kernel's read-only data, in which its table of symbols is looked for.

use oriel_guest::kallsyms::{Haystack, decode};

use crate::input::Input;

/// Where the data lies, and where the image does, as a kernel's that was not moved.
pub(crate) const START: u64 = 0xffff_ffff_8180_0000;
pub(crate) const IMAGE: std::ops::Range<u64> = 0xffff_ffff_8100_0000..0xffff_ffff_8300_0000;

/// Reads the table, if there is one.
///
/// # Panics
/// If a symbol is not found by its own name, or not at its own address.
pub fn run(data: &[u8]) {
    let hay = Haystack {
        start: START,
        bytes: Input::new(data).rest(),
        image: IMAGE,
    };
    let Some(found) = decode(&hay) else { return };
    let symbols = &found.symbols;
    for symbol in symbols.iter() {
        let mut same = symbols.all(symbol.name);
        assert!(same.any(|other| other == symbol), "{symbol:?} by name");
        let mut there = symbols.exactly(symbol.address);
        assert!(there.any(|other| other == symbol), "{symbol:?} by address");
        let nearest = symbols.at(symbol.address).map(|(_, offset)| offset);
        assert_eq!(nearest, Some(0));
    }
}
