//! The symbols of a module, by the table that the kernel keeps for it: that of its ELF file, cut
//! down to what stays. Owns its bounds; nothing in it is believed to be small.

use oriel_protocol::Gva;

use super::Module;
use crate::{
    answer::{Answer, Found, Source, Unknown},
    guest::Guest,
    symbols::Symbols,
    words,
};

/// Bytes of an ELF symbol: name, info, other, section, value, size.
const ENTRY: usize = 24;
/// More symbols, and more bytes of names, than any module has.
const MOST: u64 = 1 << 17;
const MOST_TEXT: usize = 8 << 20;
/// The longest name of a symbol (`KSYM_NAME_LEN` is 512).
const LONGEST: usize = 512;

/// Where the tables of a module are.
struct Tables {
    entries: Gva,
    count: u64,
    text: Gva,
    kinds: Gva,
}

impl Guest<'_> {
    /// The symbols of a module.
    ///
    /// # Errors
    /// [`Unknown`] where their place is, or the tables do not hold together.
    pub fn symbols_of(&self, module: &Module) -> Answer<Symbols> {
        let tables = self.tables_of(module)?;
        if tables.count > MOST {
            return Err(Unknown::Damaged("the symbols of a module"));
        }
        let count = usize::try_from(tables.count).unwrap_or(0);
        let entries = self.space().bytes(tables.entries, count * ENTRY)?;
        let kinds = self.space().bytes(tables.kinds, count).unwrap_or_default();
        let text = self.text_of(&tables, &entries)?;
        let mut symbols = Symbols::default();
        for (index, entry) in entries.chunks_exact(ENTRY).enumerate() {
            let (Some(name), Some(value)) = (words::size_at(entry, 0), words::u64_at(entry, 8))
            else {
                continue;
            };
            let name = text.get(name..).unwrap_or_default();
            let name = words::text(name.get(..LONGEST).unwrap_or(name));
            if !name.is_empty() {
                symbols.push(value, kinds.get(index).copied().unwrap_or(b'?'), &name);
            }
        }
        symbols.finish();
        Ok(Found::new(symbols, Source::KallsymsAndBtf))
    }

    fn tables_of(&self, module: &Module) -> Result<Tables, Unknown> {
        let types = self.types()?;
        let kept = module
            .address
            .wrapping_add(types.offset("module.kallsyms")?);
        let kept = self.space().u64(kept)?;
        let pointer = |member: &str| {
            let offset = types.offset(&format!("mod_kallsyms.{member}"))?;
            self.space().u64(kept.wrapping_add(offset))
        };
        let number = types.offset("mod_kallsyms.num_symtab")?;
        Ok(Tables {
            entries: pointer("symtab")?,
            count: self.space().u32(kept.wrapping_add(number))?.into(),
            text: pointer("strtab")?,
            kinds: pointer("typetab").unwrap_or(0),
        })
    }

    /// The names, up to the end of the one that begins last.
    fn text_of(&self, tables: &Tables, entries: &[u8]) -> Result<Vec<u8>, Unknown> {
        let names = entries.chunks_exact(ENTRY);
        let last = names.filter_map(|entry| words::size_at(entry, 0)).max();
        let last = last.unwrap_or(0);
        if last > MOST_TEXT {
            return Err(Unknown::Damaged("the names of a module's symbols"));
        }
        let mut text = self.space().bytes(tables.text, last)?;
        let at = tables.text.wrapping_add(last as u64);
        text.extend(self.space().text(at, LONGEST)?.into_bytes());
        text.push(0);
        Ok(text)
    }
}
