//! The symbols of a kernel, by name and by address. Owns the table; how it was read out of memory
//! is [`kallsyms`](crate::kallsyms)'s business.

use oriel_protocol::Gva;
use serde::Serialize;

use crate::words;

/// What compilers append to the name of a function that they have changed.
const SUFFIXES: [&str; 5] = [".isra.", ".constprop.", ".part.", ".llvm.", ".lto_priv."];

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Symbol<'s> {
    /// Its name.
    pub name: &'s str,
    /// Its address now; for a per-CPU variable of kernels before 6.15, its place in each CPU's area.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub address: Gva,
    /// The letter of its kind, as nm has it: `T` and `t` code, `D` `d` data, `R` `r` read-only,
    /// `B` `b` zeroed, `A` absolute, `V` `W` `v` `w` weak.
    pub kind: char,
}

impl Symbol<'_> {
    /// Whether it is code, by its letter.
    pub const fn is_code(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }
}

/// All symbols of a kernel.
#[derive(Clone, Default)]
pub struct Symbols {
    /// One behind the other, without anything between.
    text: String,
    /// By address.
    entries: Vec<Entry>,
    /// By the hash of the name, then by address.
    by_name: Vec<(u32, u32)>,
}

#[derive(Clone, Copy)]
struct Entry {
    address: Gva,
    name: u32,
    length: u16,
    kind: u8,
}

impl Symbols {
    /// A table of these symbols.
    pub fn of<'s>(symbols: impl IntoIterator<Item = Symbol<'s>>) -> Self {
        let mut all = Self::default();
        for symbol in symbols {
            let kind = u8::try_from(symbol.kind).unwrap_or(b'?');
            all.push(symbol.address, kind, symbol.name);
        }
        all.finish();
        all
    }

    /// One more; what is longer than any name can be is left out.
    pub(crate) fn push(&mut self, address: Gva, kind: u8, name: &str) {
        let (Ok(start), Ok(length)) = (u32::try_from(self.text.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.text.push_str(name);
        self.entries.push(Entry {
            address,
            name: start,
            length,
            kind,
        });
    }

    /// Puts them in order; nothing is found before.
    pub(crate) fn finish(&mut self) {
        self.entries.sort_by_key(|entry| entry.address);
        let hashes = self.entries.iter().map(|entry| self.name(entry));
        let hashes = hashes.map(|name| words::hash(name.as_bytes()));
        self.by_name = hashes.zip(0..).collect();
        self.by_name.sort_unstable();
    }

    /// Bytes of all names.
    pub(crate) const fn text_length(&self) -> usize {
        self.text.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.entries.iter().map(|entry| self.symbol(entry))
    }

    /// The symbol of this name; the one with the lowest address where several have it.
    pub fn find(&self, name: &str) -> Option<Symbol<'_>> {
        self.all(name).next()
    }

    /// The address of a symbol.
    pub fn address(&self, name: &str) -> Option<Gva> {
        self.find(name).map(|symbol| symbol.address)
    }

    /// All symbols of this name: static functions of different files may share one.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = Symbol<'s>> {
        let hash = words::hash(name.as_bytes());
        let first = self.by_name.partition_point(|(known, _)| *known < hash);
        let same = self.by_name.iter().skip(first);
        let same = same.take_while(move |(known, _)| *known == hash);
        same.filter_map(|(_, index)| self.nth(*index))
            .filter(move |symbol| symbol.name == name)
    }

    /// The symbols of this name with or without what compilers append: `.isra.0`, `.constprop.3`,
    /// `.part.0`, and several of them. A part is not the function: it is what is left of one that
    /// was taken apart. Looks at every symbol.
    pub fn variants<'s>(&'s self, name: &'s str) -> impl Iterator<Item = Symbol<'s>> + 's {
        self.iter().filter(move |symbol| {
            let rest = symbol.name.strip_prefix(name);
            rest.is_some_and(is_suffixes)
        })
    }

    /// The symbols whose names begin so. Looks at every symbol.
    pub fn starting<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = Symbol<'s>> + 's {
        self.iter()
            .filter(move |symbol| symbol.name.starts_with(prefix))
    }

    /// The last symbol that does not begin behind this address, and how far it is from there.
    pub fn at(&self, address: Gva) -> Option<(Symbol<'_>, u64)> {
        let behind = self.behind(address);
        let entry = self.entries.get(behind.checked_sub(1)?)?;
        let symbol = self.first_of(entry);
        Some((symbol, address - entry.address))
    }

    /// Every symbol of exactly this address: aliases have one.
    pub fn exactly(&self, address: Gva) -> impl Iterator<Item = Symbol<'_>> {
        let first = self
            .entries
            .partition_point(|entry| entry.address < address);
        let same = self.entries.iter().skip(first);
        same.take_while(move |entry| entry.address == address)
            .map(|entry| self.symbol(entry))
    }

    /// Where the next symbol behind this address begins.
    pub fn next_behind(&self, address: Gva) -> Option<Gva> {
        self.entries
            .get(self.behind(address))
            .map(|entry| entry.address)
    }

    fn behind(&self, address: Gva) -> usize {
        self.entries
            .partition_point(|entry| entry.address <= address)
    }

    /// Of several at one address, the one that the kernel has first.
    fn first_of(&self, entry: &Entry) -> Symbol<'_> {
        let first = self.exactly(entry.address).next();
        first.unwrap_or_else(|| self.symbol(entry))
    }

    fn nth(&self, index: u32) -> Option<Symbol<'_>> {
        let entry = self.entries.get(usize::try_from(index).ok()?)?;
        Some(self.symbol(entry))
    }

    fn symbol(&self, entry: &Entry) -> Symbol<'_> {
        Symbol {
            name: self.name(entry),
            address: entry.address,
            kind: char::from(entry.kind),
        }
    }

    fn name(&self, entry: &Entry) -> &str {
        let start = usize::try_from(entry.name).unwrap_or(usize::MAX);
        let end = start.saturating_add(usize::from(entry.length));
        self.text.get(start..end).unwrap_or_default()
    }
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Symbols({})", self.len())
    }
}

/// Whether this is nothing, or suffixes of compilers one behind the other.
fn is_suffixes(mut rest: &str) -> bool {
    while !rest.is_empty() {
        let known = SUFFIXES.iter().find_map(|suffix| rest.strip_prefix(suffix));
        let Some(number) = known else { return false };
        rest = number.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if rest.len() == number.len() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, address: Gva) -> Symbol<'_> {
        Symbol {
            name,
            address,
            kind: 't',
        }
    }

    fn some() -> Symbols {
        Symbols::of([
            symbol("open", 0x3000),
            symbol("read.constprop.0.isra.12", 0x1000),
            symbol("read.cold", 0x1800),
            symbol("close", 0x2000),
            symbol("open", 0x4000),
            symbol("read", 0x1400),
            symbol("read.part.", 0x1900),
        ])
    }

    #[test]
    fn names_lead_to_addresses_and_back() {
        let symbols = some();
        assert_eq!(symbols.address("close"), Some(0x2000));
        assert_eq!(symbols.address("clos"), None);
        let (found, offset) = symbols.at(0x2345).unwrap();
        assert_eq!((found.name, offset), ("close", 0x345));
        assert_eq!(symbols.at(0xfff), None);
        assert_eq!(symbols.next_behind(0x2000), Some(0x3000));
        assert_eq!(symbols.next_behind(0x4000), None);
    }

    #[test]
    fn a_name_that_several_have_leads_to_all_of_them() {
        let symbols = some();
        let places: Vec<_> = symbols.all("open").map(|found| found.address).collect();
        assert_eq!(places, [0x3000, 0x4000]);
        assert_eq!(symbols.address("open"), Some(0x3000));
    }

    #[test]
    fn what_a_compiler_appends_is_looked_over_on_request() {
        let symbols = some();
        let found: Vec<_> = symbols.variants("read").map(|found| found.name).collect();
        assert_eq!(found, ["read.constprop.0.isra.12", "read"]);
        assert_eq!(symbols.starting("read").count(), 4);
    }
}
