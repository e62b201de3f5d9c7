//! The words for what a Linux guest's memory means: kernels, symbols, fields, tasks, modules. Owns
//! how they are written; finding them is `oriel-guest`'s.

mod task;

use serde::{Serialize, Serializer};

use crate::Gva;

pub use task::{Credentials, Task, TaskState};

/// An answer, or in words for a person why this guest does not tell.
pub type Told<T> = Result<T, String>;

/// Where an answer comes from. The first ones are the surest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A register of a vCPU, as the machine has it.
    Register,
    /// The kernel's own table of symbols.
    Kallsyms,
    /// The kernel's own description of its types.
    Btf,
    /// An address of the first and a layout of the second.
    KallsymsAndBtf,
    /// The note that the kernel keeps for crash dumps.
    Vmcoreinfo,
    /// The register LSTAR, which leads into the kernel.
    Lstar,
    /// A handler in the interrupt table, which does too.
    Idt,
    /// Which pages of the kernel's range are mapped, and with which rights.
    PageTables,
    /// A table that the kernel keeps, without its size: it ends where the next symbol begins.
    Neighbour,
    /// Bytes that look like it and agree with all around them.
    Shape,
    /// A value that kernels have unless their configuration says otherwise.
    Convention,
}

impl Source {
    /// The same as in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Kallsyms => "kallsyms",
            Self::Btf => "btf",
            Self::KallsymsAndBtf => "kallsyms-and-btf",
            Self::Vmcoreinfo => "vmcoreinfo",
            Self::Lstar => "lstar",
            Self::Idt => "idt",
            Self::PageTables => "page-tables",
            Self::Neighbour => "neighbour",
            Self::Shape => "shape",
            Self::Convention => "convention",
        }
    }
}

/// How the walk along a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Back at its head: these are all.
    Whole,
    /// At an entry that leads into memory that is not mapped, or that was just taken out.
    Broken,
    /// At an entry that was seen already.
    Loop,
    /// After more entries than there can be.
    Endless,
}

impl Ending {
    /// How two walks ended together: whole if both were.
    pub const fn and(self, other: Self) -> Self {
        match self {
            Self::Whole => other,
            Self::Broken | Self::Loop | Self::Endless => self,
        }
    }
}

/// What was found along a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
pub struct Listing<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// Whether these are all.
    pub ending: Ending,
    /// How list and layout are known.
    pub source: Source,
}

/// A kernel in memory.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Kernel {
    /// As uname has it.
    pub release: String,
    /// `Linux version …`, all of it.
    pub banner: String,
    /// The first byte of its image.
    pub start: Gva,
    /// The one behind its last.
    pub end: Gva,
    /// The physical address of its page tables.
    pub cr3: u64,
    /// How far KASLR has moved it from where it is linked; none where nothing says so.
    pub slide: Option<u64>,
    /// How its image was found.
    pub source: Source,
}

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address now.
    pub address: Gva,
    /// The letter of its kind, as nm has it.
    pub kind: char,
}

/// The bits of a bit-field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
pub struct Bits {
    /// From the lowest bit of the byte at the field's offset.
    pub shift: u8,
    /// How many.
    pub width: u8,
}

impl Bits {
    /// The value of the bit-field in a little-endian word that was read at its offset.
    pub const fn of(self, word: u64) -> u64 {
        let shifted = word >> (self.shift & 63);
        if self.width >= 64 {
            shifted
        } else {
            shifted & ((1 << self.width) - 1)
        }
    }
}

/// Where a member is, from the address of the type that its path begins with.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Field {
    /// Offsets of the pointers on the way, in order: each is added and the pointer read there.
    pub hops: Vec<u64>,
    /// Bytes from the last of them to the member.
    pub offset: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// Which bits of those at the offset, if it is a bit-field.
    pub bits: Option<Bits>,
}

/// A loaded module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
pub struct Module {
    /// Where its `struct module` is.
    #[serde(serialize_with = "hex")]
    pub address: Gva,
    /// Its name.
    pub name: String,
    /// Where its code begins.
    #[serde(serialize_with = "hex")]
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
        let mut code = self.parts.iter().filter(|part| part.kind == PartKind::Text);
        code.any(|part| part.contains(gva))
    }
}

/// A part of a module's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, bincode::Encode, bincode::Decode)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// The first byte.
    #[serde(serialize_with = "hex")]
    pub base: Gva,
    /// Bytes of it.
    pub size: u64,
}

impl Part {
    /// Whether an address lies in it.
    pub const fn contains(&self, gva: Gva) -> bool {
        gva >= self.base && gva - self.base < self.size
    }
}

/// What a part of a module is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
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

/// Where a system call or an interrupt leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Entry {
    /// The number of the system call, or the interrupt vector.
    pub number: u32,
    /// Where it leads.
    pub address: Gva,
    /// Whether that lies in the kernel's own code.
    pub in_text: bool,
}

/// A table by which the kernel is entered.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct EntryTable {
    /// Where it is.
    pub start: Gva,
    /// Its entries, without those that are not there.
    pub entries: Vec<Entry>,
    /// How its place and length are known.
    pub source: Source,
}

/// A sort of range of the kernel's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, bincode::Encode, bincode::Decode)]
#[serde(rename_all = "kebab-case")]
pub enum AreaKind {
    /// Code.
    Text,
    /// Constants.
    Rodata,
}

/// A range of the kernel's image that does not change by itself, but for patches of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Area {
    /// Which.
    pub kind: AreaKind,
    /// Its first byte.
    pub start: Gva,
    /// The one behind its last.
    pub end: Gva,
    /// How it is known.
    pub source: Source,
}

/// A word in JSON: `"0x…"`, so that no reader rounds it.
///
/// # Errors
/// The serializer's.
pub fn hex<S: Serializer>(word: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{word:#x}"))
}

/// The same, or null.
///
/// # Errors
/// The serializer's.
pub fn hex_or_null<S: Serializer>(word: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    let text = word.map(|word| format!("{word:#x}"));
    text.serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_called_what_json_calls_it() {
        let named = serde_json::to_string(&Source::KallsymsAndBtf).expect("a word");
        assert_eq!(named, format!("{:?}", Source::KallsymsAndBtf.name()));
    }

    #[test]
    fn bits_are_taken_out_of_their_word() {
        let bits = Bits { shift: 2, width: 3 };
        assert_eq!(bits.of(0b11_0100), 0b101);
        let whole = Bits {
            shift: 0,
            width: 64,
        };
        assert_eq!(whole.of(u64::MAX), u64::MAX);
    }
}
