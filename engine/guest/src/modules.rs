//! The modules that a kernel has loaded. Owns the two layouts of their memory; symbols and types
//! of each are modules of their own here.

mod layout;
mod symbols;
mod types;

use oriel_protocol::Gva;
pub use oriel_protocol::linux::{Module, ModuleState, Part, PartKind};

use crate::{
    answer::{Source, Unknown},
    guest::Guest,
    lists::{Ending, List},
    tasks::Listing,
};

use layout::Layout;

/// More modules than any kernel has.
const MOST: usize = 1 << 14;

/// A state by its number (Linux, `include/linux/module.h`).
const fn state(number: u32) -> Option<ModuleState> {
    Some(match number {
        0 => ModuleState::Live,
        1 => ModuleState::Coming,
        2 => ModuleState::Going,
        3 => ModuleState::Unformed,
        _ => return None,
    })
}

impl Guest<'_> {
    /// Every module in the kernel's list, the newest first, without those that are only being put
    /// together, as `/proc/modules` shows it.
    ///
    /// # Errors
    /// [`Unknown`] where the list's head or the layout is.
    pub fn modules(&self) -> Result<Listing<Module>, Unknown> {
        let layout = Layout::of(self.types()?)?;
        let mut list = List::new(self.space(), self.symbol("modules")?).at_most(MOST);
        let mut items = Vec::new();
        let mut broken = false;
        for entry in list.by_ref() {
            match layout.module(self.space(), entry.wrapping_sub(layout.list)) {
                Ok(module) => items.push(module),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        items.retain(|module| module.state != ModuleState::Unformed);
        Ok(Listing {
            items,
            ending: if broken {
                Ending::Broken
            } else {
                list.ending()
            },
            source: Source::KallsymsAndBtf,
        })
    }
}

impl Guest<'_> {
    /// The module of this name.
    ///
    /// # Errors
    /// [`Unknown::Module`]; as [`modules`](Self::modules).
    pub fn module(&self, name: &str) -> Result<Module, Unknown> {
        let mut all = self.modules()?.items.into_iter();
        let module = all.find(|module| module.name == name);
        module.ok_or_else(|| Unknown::Module(name.to_owned()))
    }

    /// The module in one of whose parts an address lies.
    ///
    /// # Errors
    /// [`Unknown::Address`]; as [`modules`](Self::modules).
    pub fn module_at(&self, gva: Gva) -> Result<Module, Unknown> {
        let mut all = self.modules()?.items.into_iter();
        let module = all.find(|module| module.parts.iter().any(|part| part.contains(gva)));
        module.ok_or(Unknown::Address(gva))
    }
}

#[cfg(test)]
mod tests;
