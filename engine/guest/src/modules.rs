//! The modules that a kernel has loaded. Owns the two layouts of their memory; symbols and types
//! of each are modules of their own here.

mod layout;
mod symbols;
mod types;

use oriel_protocol::Gva;
use serde::Serialize;

use crate::{
    answer::{Source, Unknown},
    guest::Guest,
    lists::{Ending, List},
    tasks::Listing,
};

use layout::Layout;

/// More modules than any kernel has.
const MOST: usize = 1 << 14;

/// A loaded module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// Where its `struct module` is.
    #[serde(serialize_with = "crate::json::hex")]
    pub address: Gva,
    /// Its name.
    pub name: String,
    /// Where its code begins.
    #[serde(serialize_with = "crate::json::hex")]
    pub base: Gva,
    /// Bytes of all that it keeps, as `/proc/modules` has it.
    pub size: u64,
    /// Whether it is ready, coming or going.
    pub state: ModuleState,
    /// Its parts, where each is known by itself.
    pub parts: Vec<Part>,
}

impl Module {
    /// Whether an address lies in its code.
    pub fn executes(&self, gva: Gva) -> bool {
        self.parts
            .iter()
            .any(|part| part.kind == PartKind::Text && part.contains(gva))
    }
}

/// A part of a module's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// The first byte.
    #[serde(serialize_with = "crate::json::hex")]
    pub base: Gva,
    /// Bytes of it.
    pub size: u64,
}

impl Part {
    const fn contains(&self, gva: Gva) -> bool {
        gva >= self.base && gva - self.base < self.size
    }
}

/// What a part of a module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// Code.
    Text,
    /// Data that changes.
    Data,
    /// Constants.
    Rodata,
    /// Constants once it is ready.
    RoAfterInit,
    /// What it needs only to become ready.
    Init,
}

/// How far a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleState {
    /// Ready.
    Live,
    /// It is being started.
    Coming,
    /// It is being removed.
    Going,
    /// It is being put together.
    Unformed,
}

impl ModuleState {
    /// By its number (Linux, `include/linux/module.h`).
    const fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Live,
            1 => Self::Coming,
            2 => Self::Going,
            3 => Self::Unformed,
            _ => return None,
        })
    }
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

#[cfg(test)]
mod tests;
