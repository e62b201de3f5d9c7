//! One type of BTF, as its bytes have it. Owns the numbers of the kinds; follows no references.

use serde::Serialize;

use crate::words;

/// The number of a type; 0 is `void`.
pub type TypeId = u32;

/// What sort of type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of C")]
pub enum Kind {
    Integer,
    Pointer,
    Array,
    Structure,
    Union,
    Enumeration,
    /// A structure or union without its members.
    Forward,
    Typedef,
    Volatile,
    Const,
    Restrict,
    /// A function; its type is a prototype.
    Function,
    Prototype,
    Variable,
    Section,
    Float,
    DeclarationTag,
    TypeTag,
    /// An enumeration of 64-bit values.
    LongEnumeration,
}

impl Kind {
    const fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Integer,
            2 => Self::Pointer,
            3 => Self::Array,
            4 => Self::Structure,
            5 => Self::Union,
            6 => Self::Enumeration,
            7 => Self::Forward,
            8 => Self::Typedef,
            9 => Self::Volatile,
            10 => Self::Const,
            11 => Self::Restrict,
            12 => Self::Function,
            13 => Self::Prototype,
            14 => Self::Variable,
            15 => Self::Section,
            16 => Self::Float,
            17 => Self::DeclarationTag,
            18 => Self::TypeTag,
            19 => Self::LongEnumeration,
            _ => return None,
        })
    }

    /// Bytes behind the first twelve: fixed ones, and for each part.
    const fn behind(self) -> (usize, usize) {
        match self {
            Self::Integer | Self::Variable | Self::DeclarationTag => (4, 0),
            Self::Array => (12, 0),
            Self::Structure | Self::Union | Self::Section | Self::LongEnumeration => (0, 12),
            Self::Enumeration | Self::Prototype => (0, 8),
            Self::Pointer
            | Self::Forward
            | Self::Typedef
            | Self::Volatile
            | Self::Const
            | Self::Restrict
            | Self::Function
            | Self::Float
            | Self::TypeTag => (0, 0),
        }
    }

    /// Whether it is another type under another name or with a qualifier.
    pub const fn is_alias(self) -> bool {
        matches!(
            self,
            Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag
        )
    }

    /// Whether it has members.
    pub const fn is_composite(self) -> bool {
        matches!(self, Self::Structure | Self::Union)
    }

    /// Whether it is found by its name.
    pub(super) const fn is_looked_up(self) -> bool {
        matches!(
            self,
            Self::Structure
                | Self::Union
                | Self::Enumeration
                | Self::LongEnumeration
                | Self::Typedef
                | Self::Integer
                | Self::Float
                | Self::Forward
        )
    }
}

/// A kind that is asked for by C's word before the name, and the name.
pub(super) fn wanted(name: &str) -> (Option<Kind>, &str) {
    let words = [
        ("struct ", Kind::Structure),
        ("union ", Kind::Union),
        ("enum ", Kind::Enumeration),
    ];
    let asked = words
        .iter()
        .find_map(|(word, kind)| Some((Some(*kind), name.strip_prefix(word)?)));
    asked.unwrap_or((None, name))
}

/// A type's bytes: the first twelve, taken apart, and what is behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'b> {
    pub(crate) name: u32,
    pub(crate) kind: Kind,
    /// Members carry sizes of bit-fields; for an enumeration, its values have a sign.
    pub(crate) flag: bool,
    pub(crate) size_or_type: u32,
    pub(crate) parts: usize,
    behind: &'b [u8],
}

/// What an array is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array {
    pub(crate) element: TypeId,
    pub(crate) count: u32,
}

/// A member of a structure or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The offset of its name among the strings; 0 if it has none.
    pub name: u32,
    /// What it is.
    pub type_id: TypeId,
    /// Bits from the beginning.
    pub bit_offset: u32,
    /// Bits that it takes, if it is a bit-field and this says so.
    pub bits: Option<u8>,
}

impl<'b> Record<'b> {
    pub(crate) fn at(types: &'b [u8], at: usize) -> Option<Self> {
        let info = words::u32_at(types, at.checked_add(4)?)?;
        let kind = Kind::of(info >> 24 & 0x1f)?;
        let parts = usize::try_from(info & 0xffff).ok()?;
        let (fixed, each) = kind.behind();
        let start = at + 12;
        Some(Self {
            name: words::u32_at(types, at)?,
            kind,
            flag: info >> 31 != 0,
            size_or_type: words::u32_at(types, at + 8)?,
            parts,
            behind: types.get(start..start.checked_add(fixed + each * parts)?)?,
        })
    }

    pub(super) const fn length(&self) -> usize {
        12 + self.behind.len()
    }

    /// Its own bytes; none for what has no size of its own.
    pub(super) fn size(&self) -> Option<u64> {
        match self.kind {
            Kind::Integer
            | Kind::Structure
            | Kind::Union
            | Kind::Enumeration
            | Kind::LongEnumeration
            | Kind::Section
            | Kind::Float => Some(self.size_or_type.into()),
            Kind::Pointer => Some(8),
            Kind::Array
            | Kind::Forward
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Function
            | Kind::Prototype
            | Kind::Variable
            | Kind::DeclarationTag
            | Kind::TypeTag => None,
        }
    }

    /// Of several types of one name the one with the lowest rank is meant.
    pub(super) const fn rank(&self) -> u8 {
        match self.kind {
            Kind::Structure if self.parts > 0 => 0,
            Kind::Union if self.parts > 0 => 1,
            Kind::Structure | Kind::Union => 3,
            Kind::Forward => 4,
            Kind::Integer
            | Kind::Pointer
            | Kind::Array
            | Kind::Enumeration
            | Kind::Typedef
            | Kind::Volatile
            | Kind::Const
            | Kind::Restrict
            | Kind::Function
            | Kind::Prototype
            | Kind::Variable
            | Kind::Section
            | Kind::Float
            | Kind::DeclarationTag
            | Kind::TypeTag
            | Kind::LongEnumeration => 2,
        }
    }

    pub(crate) fn array(&self) -> Option<Array> {
        if self.kind != Kind::Array {
            return None;
        }
        Some(Array {
            element: words::u32_at(self.behind, 0)?,
            count: words::u32_at(self.behind, 8)?,
        })
    }

    /// Bits of an integer, and how far from its first they are: bit-fields before the flag.
    pub(super) fn integer_bits(&self) -> Option<(u32, u32)> {
        let data = words::u32_at(self.behind, 0)?;
        (self.kind == Kind::Integer).then_some((data >> 16 & 0xff, data & 0xff))
    }

    /// Values of an enumeration: the name's offset, and the value.
    pub(crate) fn values(&self) -> impl Iterator<Item = (u32, i64)> + use<'b> {
        let (behind, long, signed) = (self.behind, self.kind == Kind::LongEnumeration, self.flag);
        let each = if long { 12 } else { 8 };
        let is_one = long || self.kind == Kind::Enumeration;
        let entries = behind.chunks_exact(each).filter(move |_| is_one);
        entries.filter_map(move |entry| {
            let name = words::u32_at(entry, 0)?;
            let low = words::u32_at(entry, 4)?;
            let value = match words::u32_at(entry, 8) {
                Some(high) => (u64::from(low) | u64::from(high) << 32).cast_signed(),
                None if signed => low.cast_signed().into(),
                None => low.into(),
            };
            Some((name, value))
        })
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Member> + use<'b> {
        let (behind, flag) = (self.behind, self.flag);
        let entries = behind.chunks_exact(12);
        let composite = self.kind.is_composite();
        entries.filter(move |_| composite).filter_map(move |entry| {
            let offset = words::u32_at(entry, 8)?;
            let bits = entry.get(11).copied().filter(|bits| flag && *bits != 0);
            Some(Member {
                name: words::u32_at(entry, 0)?,
                type_id: words::u32_at(entry, 4)?,
                bit_offset: if flag { offset & 0x00ff_ffff } else { offset },
                bits,
            })
        })
    }
}
