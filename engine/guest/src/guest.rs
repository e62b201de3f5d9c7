//! A guest with its index: what can be asked of it now. Owns nothing; it is the index and the
//! memory side by side, and reads the memory anew for each answer.

use std::{borrow::Cow, sync::Arc};

use oriel_machine::GuestMemory;
use oriel_protocol::Gva;

use crate::{
    answer::{Answer, Found, Source, Unknown},
    btf::Types,
    index::Index,
    modules::Module,
    space::Space,
    symbols::Symbols,
    tasks::Layout,
};

/// A guest, to be asked.
#[derive(Clone, Copy)]
pub struct Guest<'g> {
    index: &'g Index,
    space: Space<'g>,
}

impl Index {
    /// The guest with this memory, which is the one that the index was made of: whether it still
    /// is, [`holds`](Self::holds) says.
    pub fn guest<'g>(&'g self, memory: &'g dyn GuestMemory) -> Guest<'g> {
        Guest {
            index: self,
            space: self.space(memory),
        }
    }
}

impl<'g> Guest<'g> {
    /// Its index.
    pub const fn index(&self) -> &'g Index {
        self.index
    }

    /// Its memory, by the kernel's own tables.
    pub const fn space(&self) -> Space<'g> {
        self.space
    }

    /// Its memory by other tables: a process's, by [`Task::cr3`](crate::tasks::Task).
    pub const fn space_of(&self, cr3: u64) -> Space<'g> {
        self.space.with_cr3(cr3)
    }

    /// The kernel's symbols.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`].
    pub fn symbols(&self) -> Result<&'g Symbols, Unknown> {
        self.index.symbols()
    }

    /// The kernel's types.
    ///
    /// # Errors
    /// [`Unknown::NoTypes`].
    pub fn types(&self) -> Result<&'g Types, Unknown> {
        self.index.types().map(|types| &**types)
    }

    /// The symbols of a module; none: the kernel's.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`]; as [`module`](Self::module) and [`symbols_of`](Self::symbols_of).
    pub fn symbols_in(&self, module: Option<&Module>) -> Answer<Cow<'g, Symbols>> {
        match module {
            Some(module) => Ok(self.symbols_of(module)?.map(Cow::Owned)),
            None => Ok(Found::new(Cow::Borrowed(self.symbols()?), Source::Kallsyms)),
        }
    }

    /// The types that a module sees, by its name; none: the kernel's.
    ///
    /// # Errors
    /// [`Unknown::NoTypes`]; as [`module`](Self::module) and [`types_of`](Self::types_of).
    pub fn types_in(&self, module: Option<&str>) -> Answer<Arc<Types>> {
        match module {
            Some(name) => self.types_of(&self.module(name)?),
            None => Ok(self.index.types_found()?.clone()),
        }
    }

    /// The module that an address lies in; none: the kernel's image.
    ///
    /// # Errors
    /// As [`module_at`](Self::module_at), where it is neither.
    pub fn owner_of(&self, gva: Gva) -> Result<Option<Module>, Unknown> {
        let in_kernel = self.index.kernel().contains(gva);
        (!in_kernel).then(|| self.module_at(gva)).transpose()
    }

    /// Where a symbol of the kernel's is.
    ///
    /// # Errors
    /// [`Unknown::NoSymbols`], [`Unknown::Symbol`].
    pub fn symbol(&self, name: &str) -> Result<Gva, Unknown> {
        let address = self.symbols()?.address(name);
        address.ok_or_else(|| Unknown::Symbol(name.to_owned()))
    }

    /// The value of a member of a structure: pointers on the path are followed, and of a bit-field
    /// its bits are taken. At most eight bytes, as an unsigned number.
    ///
    /// # Errors
    /// [`Unknown`] where the path leads nowhere, or memory is not mapped.
    pub fn value(&self, base: Gva, path: &str) -> Result<u64, Unknown> {
        let field = self.types()?.field(path)?;
        let mut at = base;
        for hop in &field.hops {
            at = self.space.u64(at.wrapping_add(*hop))?;
        }
        let mut word = [0; 8];
        let length = usize::try_from(field.size).map_or(8, |size| size.min(8));
        let place = at.wrapping_add(field.offset);
        let bytes = word.get_mut(..length).unwrap_or_default();
        self.space.read(place, bytes)?;
        let word = u64::from_le_bytes(word);
        Ok(field.bits.map_or(word, |bits| bits.of(word)))
    }

    pub(crate) fn layout(&self) -> Result<&'g Layout, Unknown> {
        self.index.layout()
    }

    pub(crate) fn init_task(&self) -> Result<Found<Gva>, Unknown> {
        self.index.init_task()
    }

    /// An anchor and a layout together.
    pub(crate) fn source_with(&self, anchor: Source, layout: Source) -> Source {
        if layout != Source::Btf {
            return layout;
        }
        if anchor == Source::Kallsyms {
            Source::KallsymsAndBtf
        } else {
            anchor
        }
    }
}

impl std::fmt::Debug for Guest<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Guest({})", self.index.banner().value)
    }
}
