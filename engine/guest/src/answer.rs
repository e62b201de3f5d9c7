//! How answers are given: with where they come from, or as a plain `unknown` with the reason. Owns
//! no facts about guests, and never guesses.

use oriel_protocol::Gva;
use serde::Serialize;
use thiserror::Error;

pub use oriel_protocol::linux::Source;

/// An answer with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found<T> {
    /// What was found.
    pub value: T,
    /// How.
    pub source: Source,
}

impl<T> Found<T> {
    /// An answer from here.
    pub const fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }

    /// The same source with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        Found::new(change(self.value), self.source)
    }
}

/// An answer, or why there is none.
pub type Answer<T> = Result<Found<T>, Unknown>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "unknown", content = "what", rename_all = "kebab-case")]
pub enum Unknown {
    /// No vCPU is in long mode: firmware, a boot loader, or another sort of guest.
    #[error("no vCPU is in long mode yet: ask again when the guest has booted")]
    NotLongMode,
    /// Nothing is mapped where a Linux kernel would be.
    #[error("no Linux kernel is mapped: the guest has not booted, or is another system")]
    NoKernel,
    /// No table of symbols in the kernel's memory.
    #[error("the kernel has no readable kallsyms (CONFIG_KALLSYMS)")]
    NoSymbols,
    /// No description of types in the kernel's memory.
    #[error("the kernel has no readable BTF (CONFIG_DEBUG_INFO_BTF)")]
    NoTypes,
    /// A symbol that this kernel does not list.
    #[error("the kernel lists no symbol {0} (CONFIG_KALLSYMS_ALL lists data too)")]
    Symbol(String),
    /// A type that this kernel does not describe.
    #[error("the kernel describes no type {0}")]
    Type(String),
    /// A member that the type does not have.
    #[error("{0} names no member of this kernel's types")]
    Member(String),
    /// A module that is not loaded.
    #[error("no module {0} is loaded")]
    Module(String),
    /// A number that no task has.
    #[error("no task has the number {0}")]
    Task(u32),
    /// An address before every symbol, or in nothing that has any.
    #[error(
        "{0:#x} lies in nothing that has symbols, neither in the kernel's image nor in a module"
    )]
    Address(#[serde(serialize_with = "oriel_protocol::linux::hex")] Gva),
    /// An address that the kernel's page tables lead nowhere.
    #[error("nothing is mapped at {0:#x}")]
    NotMapped(#[serde(serialize_with = "oriel_protocol::linux::hex")] Gva),
    /// Memory that contradicts itself.
    #[error("{0} does not hold together: damaged, or changed while it was read")]
    Damaged(&'static str),
    /// The machine does not show the register that it takes.
    #[error("the machine does not show {0}")]
    Register(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_says_what_and_what_would_help() {
        let unknown = Unknown::Symbol("init_task".to_owned());
        assert!(unknown.to_string().contains("init_task"));
        assert!(unknown.to_string().contains("CONFIG_KALLSYMS_ALL"));
    }

    #[test]
    fn a_source_survives_a_change_of_value() {
        let found = Found::new(2, Source::Btf).map(|value| value * 3);
        assert_eq!(found, Found::new(6, Source::Btf));
    }
}
