//! The ranges of the kernel's image that do not change by themselves. Owns the symbols that name
//! them, and what the page tables say where there are none.

use std::ops::Range;

use oriel_protocol::Gva;
pub use oriel_protocol::linux::AreaKind as Area;

use crate::{
    answer::{Answer, Found, Source, Unknown},
    guest::Guest,
    kernel::Run,
};

/// The symbols of an area's first byte and of the one behind its last; the first that are there.
const fn symbols(area: Area) -> &'static [(&'static str, &'static str)] {
    match area {
        Area::Text => &[("_stext", "_etext"), ("_text", "_etext")],
        Area::Rodata => &[("__start_rodata", "__end_rodata")],
    }
}

const fn is_mapped_so(area: Area, run: &Run) -> bool {
    !run.writable && run.executable == matches!(area, Area::Text)
}

impl Guest<'_> {
    /// Where an area is: by its symbols, or the longest run of pages with its rights.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`] where neither is: early in a boot all pages have the same rights.
    pub fn area(&self, area: Area) -> Answer<Range<Gva>> {
        let named = symbols(area).iter().find_map(|(start, end)| {
            let range = self.symbol(start).ok()?..self.symbol(end).ok()?;
            (!range.is_empty()).then_some(range)
        });
        if let Some(range) = named {
            return Ok(Found::new(range, Source::Kallsyms));
        }
        let runs = self.index().kernel().runs.iter();
        let longest = runs
            .filter(|run| is_mapped_so(area, run))
            .max_by_key(|run| run.length());
        let longest = longest.ok_or(Unknown::NoSymbols)?;
        Ok(Found::new(longest.start..longest.end, Source::PageTables))
    }
}
