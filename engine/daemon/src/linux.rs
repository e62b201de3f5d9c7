//! What a Linux guest is asked, and its answers as JSON: the same whoever asks, on a VM that is
//! looked at or on one that Oriel watches. Owns the form of the answers (`docs/guest-os.md`); what
//! they are is `oriel-guest`'s, and nothing here reads a register or changes a guest.

mod info;
mod modules;
mod symbols;
mod tables;
mod tasks;
mod types;
mod words;

#[cfg(test)]
pub(crate) mod tests;

use oriel_guest::{Guest, Sight, Unknown};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A question; in JSON as the control socket takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Question {
    /// Which kernel it is, and what is known of it.
    Info,
    /// Symbols.
    Symbols {
        /// Which.
        #[serde(default)]
        which: Which,
        /// Of this module; none: the kernel's.
        #[serde(default)]
        module: Option<String>,
    },
    /// The symbol in which an address lies.
    At {
        /// The address.
        #[serde(with = "words::word")]
        address: u64,
    },
    /// A member by its path, or a type by its name.
    Type {
        /// The path.
        path: String,
        /// With the types of this module.
        #[serde(default)]
        module: Option<String>,
    },
    /// Processes.
    Tasks,
    /// Processes and their threads.
    Threads,
    /// Who is in no list.
    Hidden,
    /// Loaded modules.
    Modules,
    /// System calls of 64-bit programs, or of 32-bit ones.
    Syscalls {
        /// Of 32-bit ones.
        #[serde(default)]
        compat: bool,
    },
    /// The interrupt tables.
    Interrupts,
}

/// Which symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// All of them.
    #[default]
    All,
    /// Of this name.
    Named(String),
    /// Of this name, with what compilers append.
    Variants(String),
    /// Whose names begin so.
    Starting(String),
}

/// The answer.
///
/// # Errors
/// [`Unknown`], if there is none at all. Parts of an answer that are unknown say so in it.
pub(crate) fn answer(
    question: &Question,
    guest: &Guest<'_>,
    sights: &[Sight],
) -> Result<Json, Unknown> {
    match question {
        Question::Info => Ok(info::info(guest, sights)),
        Question::Symbols { which, module } => symbols::symbols(guest, which, module.as_deref()),
        Question::At { address } => symbols::at(guest, *address),
        Question::Type { path, module } => types::types(guest, path, module.as_deref()),
        Question::Tasks => tasks::tasks(guest, sights, false),
        Question::Threads => tasks::tasks(guest, sights, true),
        Question::Hidden => tasks::hidden(guest, sights),
        Question::Modules => modules::modules(guest),
        Question::Syscalls { compat } => tables::syscalls(guest, *compat),
        Question::Interrupts => tables::interrupts(guest, sights),
    }
}
