//! Single values of a scenario: numbers of up to 64 bits, and the words for what has a name.

use std::{cmp::Ordering, fmt};

use oriel_protocol::{
    Gpa, Gva,
    commands::vcpu::Place,
    events::{ShutdownCause, Table},
    x86::{Register, msr},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

/// A number: `17`, `0x11` or `"0x11"`. TOML promises 63 bits only, so a large one may be a string.
pub(crate) fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    let word = from.deserialize_any(Number(|text: &str| parse(text)))?;
    T::try_from(word).map_err(|_| D::Error::custom(format!("{word:#x} is too large here")))
}

/// A number that may be left out.
pub(crate) fn optional<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    number(from).map(Some)
}

/// An MSR by number or by name.
pub(crate) fn msr_number<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Msr::deserialize(from).map(|Msr(number)| number)
}

/// A descriptor-table register.
pub(crate) fn table<'de, D: Deserializer<'de>>(from: D) -> Result<Table, D::Error> {
    let words = [
        ("idtr", Table::Idtr),
        ("gdtr", Table::Gdtr),
        ("ldtr", Table::Ldtr),
        ("tr", Table::Tr),
    ];
    word(&String::deserialize(from)?, &words).map_err(D::Error::custom)
}

/// Why a guest shuts down.
pub(crate) fn cause<'de, D: Deserializer<'de>>(from: D) -> Result<ShutdownCause, D::Error> {
    let words = [
        ("triple-fault", ShutdownCause::TripleFault),
        ("request", ShutdownCause::Request),
        ("halted", ShutdownCause::Halted),
    ];
    word(&String::deserialize(from)?, &words).map_err(D::Error::custom)
}

/// An address, of which exactly one kind is given.
pub(crate) fn place(gva: Option<Gva>, gpa: Option<Gpa>) -> Result<Place, &'static str> {
    match (gva, gpa) {
        (Some(gva), None) => Ok(Place::Gva(gva)),
        (None, Some(gpa)) => Ok(Place::Gpa(gpa)),
        (Some(_), Some(_)) | (None, None) => Err("exactly one of `gva` and `gpa` is needed"),
    }
}

/// A number on its own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Word(#[serde(deserialize_with = "number")] pub(super) u64);

/// An MSR, also as the key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Msr(pub(super) u32);

impl<'de> Deserialize<'de> for Msr {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let named = |text: &str| word(text, &MSRS).map(u64::from).or_else(|_| parse(text));
        let word = from.deserialize_any(Number(named))?;
        let number = u32::try_from(word);
        number.map(Self).map_err(|_| {
            D::Error::custom(format!("{word:#x} is too large for the number of an MSR"))
        })
    }
}

/// A register by name, also as the key of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(pub(super) Register);

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0 as usize).cmp(&(other.0 as usize))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        word(&name, &REGISTERS).map(Self).map_err(D::Error::custom)
    }
}

/// What a word stands for.
pub(super) fn word<T: Copy>(word: &str, words: &[(&str, T)]) -> Result<T, String> {
    let known = words.iter().find(|(name, _)| *name == word);
    known.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(name, _)| format!("`{name}`")).collect();
        format!("`{word}` is none of {}", names.join(", "))
    })
}

fn parse(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "");
    let parsed = match plain.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => plain.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is not a number of up to 64 bits"))
}

/// Takes a number, or a text that `F` makes one of.
struct Number<F>(F);

impl<F: Fn(&str) -> Result<u64, String>> Visitor<'_> for Number<F> {
    type Value = u64;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a number, or a string with one")
    }

    fn visit_u64<E: Error>(self, word: u64) -> Result<u64, E> {
        Ok(word)
    }

    fn visit_i64<E: Error>(self, word: i64) -> Result<u64, E> {
        u64::try_from(word).map_err(|_| E::custom(format!("{word} is negative")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// The MSRs that have a name here.
pub(super) const MSRS: [(&str, u32); 13] = [
    ("sysenter-cs", msr::SYSENTER_CS),
    ("sysenter-esp", msr::SYSENTER_ESP),
    ("sysenter-eip", msr::SYSENTER_EIP),
    ("pat", msr::PAT),
    ("efer", msr::EFER),
    ("star", msr::STAR),
    ("lstar", msr::LSTAR),
    ("cstar", msr::CSTAR),
    ("sfmask", msr::SFMASK),
    ("fs-base", msr::FS_BASE),
    ("gs-base", msr::GS_BASE),
    ("kernel-gs-base", msr::KERNEL_GS_BASE),
    ("tsc-aux", msr::TSC_AUX),
];

/// The registers, by the words that they have everywhere in Oriel.
pub(super) const REGISTERS: [(&str, Register); 28] = [
    ("rax", Register::Rax),
    ("rbx", Register::Rbx),
    ("rcx", Register::Rcx),
    ("rdx", Register::Rdx),
    ("rsi", Register::Rsi),
    ("rdi", Register::Rdi),
    ("rsp", Register::Rsp),
    ("rbp", Register::Rbp),
    ("r8", Register::R8),
    ("r9", Register::R9),
    ("r10", Register::R10),
    ("r11", Register::R11),
    ("r12", Register::R12),
    ("r13", Register::R13),
    ("r14", Register::R14),
    ("r15", Register::R15),
    ("rip", Register::Rip),
    ("rflags", Register::Rflags),
    ("cr0", Register::Cr0),
    ("cr2", Register::Cr2),
    ("cr3", Register::Cr3),
    ("cr4", Register::Cr4),
    ("cr8", Register::Cr8),
    ("efer", Register::Efer),
    ("fs-base", Register::FsBase),
    ("gs-base", Register::GsBase),
    ("idt-base", Register::IdtBase),
    ("gdt-base", Register::GdtBase),
];
