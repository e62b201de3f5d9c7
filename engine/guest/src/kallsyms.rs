//! The kernel's own table of symbols, out of its read-only data (Linux, `scripts/kallsyms.c`). Owns
//! the layouts of that table; never believes one that does not hold together.
//!
//! ```text
//!   5.4 to 6.4    offsets, base │ count, names, markers, [sequence], token table, token index
//!                 or addresses  │
//!   6.5 to 6.15   count, names, markers, token table, token index │ offsets, base, sequence
//!                                                                  │ or addresses
//!   later         the same without the base: an offset counts from its own place
//! ```
//! Nothing says where any of it is. The digits do: each is a token of its own, so `0`, `1`, `2`
//! follow each other in the token table. The names are before it, and their markers say where
//! every 256th begins; addresses are before the names or behind the token index, and are the right
//! ones if they ascend and lie in the image.
//!
//! A name is a length and so many tokens. From 128 on the length takes two bytes (since 6.1).

mod addresses;
mod names;
mod tokens;

use oriel_protocol::Gva;
use serde::Serialize;

pub use addresses::Layout;
use names::Names;
use tokens::Tokens;

use crate::symbols::Symbols;

/// More bytes than the names of any kernel take: some 3 MiB.
const LARGEST_TEXT: usize = 64 << 20;

/// What was read, and how it was laid out.
#[derive(Clone, Debug)]
pub struct Kallsyms {
    /// The symbols.
    pub symbols: Symbols,
    /// How their addresses are written.
    pub layout: Layout,
    /// Where the table is.
    pub place: Place,
}

/// Where the table of symbols is in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The number of symbols.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub count: Gva,
    /// The strings that names are made of.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub tokens: Gva,
}

/// Bytes in which a table is looked for.
#[derive(Clone, Debug)]
pub struct Haystack<'b> {
    /// The address of the first byte, on a multiple of 8.
    pub start: Gva,
    /// All of them.
    pub bytes: &'b [u8],
    /// Where the addresses of most symbols have to lie.
    pub image: std::ops::Range<Gva>,
}

impl Haystack<'_> {
    fn gva(&self, at: usize) -> Gva {
        self.start.wrapping_add(at as u64)
    }
}

/// The table in these bytes; none if there is none that holds together.
pub fn decode(hay: &Haystack<'_>) -> Option<Kallsyms> {
    Tokens::all(hay.bytes).find_map(|tokens| {
        let names = Names::before(hay.bytes, &tokens)?;
        let (layout, addresses) = addresses::find(hay, &tokens, &names)?;
        Some(Kallsyms {
            symbols: table(hay.bytes, &tokens, &names, &addresses),
            layout,
            place: Place {
                count: hay.gva(names.count_at),
                tokens: hay.gva(tokens.start),
            },
        })
    })
}

fn table(bytes: &[u8], tokens: &Tokens<'_>, names: &Names, addresses: &[Gva]) -> Symbols {
    let mut symbols = Symbols::default();
    let mut name = Vec::new();
    let mut at = names.start;
    for address in addresses {
        let Some((length, begins)) = names::length(bytes, at) else {
            break;
        };
        if symbols.text_length() > LARGEST_TEXT {
            break;
        }
        let end = begins.saturating_add(length);
        name.clear();
        tokens.expand(bytes.get(begins..end).unwrap_or_default(), &mut name);
        // The first letter is the kind of the symbol.
        if let Some((kind, name)) = name.split_first() {
            symbols.push(*address, *kind, &String::from_utf8_lossy(name));
        }
        at = end;
    }
    symbols.finish();
    symbols
}

#[cfg(test)]
mod tests;
