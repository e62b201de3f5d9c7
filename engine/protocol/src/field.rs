//! The value of one field of an event, as event lines and journals show it.

use serde::{Serialize, Serializer};

use crate::{Access, events::ShutdownCause, events::Table, x86::CpuidLeaf};

/// A field's value. Words are written as `"0x…"`, so that no reader rounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// An address or the contents of a register.
    Word(u64),
    /// A small number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// One of a few words.
    Name(&'static str),
    /// Kinds of access.
    Access(Access),
    /// What CPUID answers.
    Leaf(CpuidLeaf),
    /// Not known.
    Unknown,
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => to.collect_str(&format_args!("{word:#x}")),
            Self::Number(number) => to.serialize_i64(*number),
            Self::Flag(flag) => to.serialize_bool(*flag),
            Self::Name(name) => to.serialize_str(name),
            Self::Access(access) => access.serialize(to),
            Self::Leaf(leaf) => leaf.serialize(to),
            Self::Unknown => to.serialize_none(),
        }
    }
}

impl From<u64> for Field {
    fn from(word: u64) -> Self {
        Self::Word(word)
    }
}
impl From<u32> for Field {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}
impl From<u16> for Field {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}
impl From<u8> for Field {
    fn from(number: u8) -> Self {
        Self::Number(number.into())
    }
}
impl From<i32> for Field {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}
impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}
impl From<Access> for Field {
    fn from(access: Access) -> Self {
        Self::Access(access)
    }
}
impl From<CpuidLeaf> for Field {
    fn from(leaf: CpuidLeaf) -> Self {
        Self::Leaf(leaf)
    }
}
impl From<Table> for Field {
    fn from(table: Table) -> Self {
        Self::Name(table.name())
    }
}
impl From<ShutdownCause> for Field {
    fn from(cause: ShutdownCause) -> Self {
        Self::Name(cause.name())
    }
}
impl<T: Into<Field>> From<Option<T>> for Field {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Unknown, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventData, events::Page};

    #[test]
    fn words_are_strings_and_unknowns_are_null() {
        let data = EventData::from(Page {
            gva: None,
            gpa: u64::MAX,
            access: Access::WRITE,
            size: 8,
            value: Some(1),
            view: 0,
        });
        let map: serde_json::Map<_, _> = data
            .fields()
            .into_iter()
            .map(|(name, field)| (name.to_owned(), serde_json::to_value(field).unwrap()))
            .collect();
        assert_eq!(map["gpa"], "0xffffffffffffffff");
        assert_eq!(map["gva"], serde_json::Value::Null);
        assert_eq!(map["access"], serde_json::json!(["write"]));
        assert_eq!(map["size"], 8);
    }
}
