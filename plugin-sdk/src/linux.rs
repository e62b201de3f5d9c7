//! The words of [`GuestOs`](crate::GuestOs): kernels, symbols, fields, tasks, modules. Owns them and
//! how a field is read; what a guest's memory means is the engine's to find.

mod read;

use std::fmt;

use crate::Refusal;

pub use crate::bindings::rights::oriel::introspection::guest_os::{
    Area, AreaKind, Bits, Credentials, Ending, Entry, EntryList, Field, Kernel, Module, ModuleList,
    ModuleState, Part, PartKind, Piece, Source, Symbol, Task, TaskList, TaskState,
};
pub use read::ReadKernel;

/// Why there is no answer.
///
/// ```
/// use oriel_sdk::{Refusal, linux::Absence};
///
/// let absence = Absence::Unknown("the kernel has no readable BTF".into());
/// assert_eq!(absence.to_string(), "unknown: the kernel has no readable BTF");
/// assert_eq!(Absence::from(Refusal::Denied), Absence::Refused(Refusal::Denied));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The command was refused.
    Refused(Refusal),
    /// This guest does not tell; the reason is for a person.
    Unknown(String),
}

impl fmt::Display for Absence {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(to, "refused: {refusal}"),
            Self::Unknown(why) => write!(to, "unknown: {why}"),
        }
    }
}

impl std::error::Error for Absence {}

impl Symbol {
    /// Whether it is code, by its letter.
    ///
    /// ```
    /// use oriel_sdk::linux::Symbol;
    ///
    /// let symbol = |kind| Symbol { name: "x".into(), address: 0xffff_ffff_8100_0000, kind };
    /// assert!(symbol('t').is_code() && !symbol('D').is_code());
    /// ```
    pub fn is_code(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }
}

impl Bits {
    /// The value of the bit-field in a little-endian word that was read at its field's offset.
    ///
    /// ```
    /// use oriel_sdk::linux::Bits;
    ///
    /// assert_eq!(Bits { shift: 2, width: 3 }.of(0b11_0100), 0b101);
    /// ```
    pub fn of(&self, word: u64) -> u64 {
        let shifted = word >> (self.shift & 63);
        let mask = 1_u64.checked_shl(self.width.into());
        mask.map_or(shifted, |above| shifted & (above - 1))
    }
}
