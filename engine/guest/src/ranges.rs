//! The ranges of the kernel's image that do not change by themselves. Owns the symbols that name
//! them, and what the page tables say where there are none.

use std::ops::Range;

use oriel_protocol::Gva;
use serde::Serialize;

use crate::{
    answer::{Answer, Found, Source, Unknown},
    guest::Guest,
    kernel::Run,
};

/// A range of the kernel's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Code.
    Text,
    /// Constants.
    Rodata,
}

impl Area {
    /// The symbols of its first byte and of the one behind its last; the first that are there.
    const fn symbols(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Text => &[("_stext", "_etext"), ("_text", "_etext")],
            Self::Rodata => &[("__start_rodata", "__end_rodata")],
        }
    }

    const fn is_mapped_so(self, run: &Run) -> bool {
        !run.writable && run.executable == matches!(self, Self::Text)
    }
}

impl Guest<'_> {
    /// Where an area is: by its symbols, or the longest run of pages with its rights.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`] where neither is: early in a boot all pages have the same rights.
    pub fn area(&self, area: Area) -> Answer<Range<Gva>> {
        let named = area.symbols().iter().find_map(|(start, end)| {
            let range = self.symbol(start).ok()?..self.symbol(end).ok()?;
            (!range.is_empty()).then_some(range)
        });
        if let Some(range) = named {
            return Ok(Found::new(range, Source::Kallsyms));
        }
        let runs = self.index().kernel().runs.iter();
        let longest = runs
            .filter(|run| area.is_mapped_so(run))
            .max_by_key(|run| run.length());
        let longest = longest.ok_or(Unknown::NoSymbols)?;
        Ok(Found::new(longest.start..longest.end, Source::PageTables))
    }
}
