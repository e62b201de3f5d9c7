//! A type with its parts laid out, for people and tools. Owns no bytes; follows anonymous members,
//! and nothing else.

use serde::Serialize;

use super::{Bits, Kind, Member, TypeId, Types};
use crate::answer::Unknown;

/// A type, laid out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// As C spells it.
    pub name: String,
    /// What it is, behind typedefs.
    pub kind: Option<Kind>,
    /// Bytes that it takes.
    pub size: Option<u64>,
    /// Members, those of anonymous ones in their place; for an enumeration, its values.
    pub parts: Vec<Part>,
}

/// A member, or a value of an enumeration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// A member.
    Member {
        /// Its name.
        name: String,
        /// Bytes from the beginning.
        offset: u64,
        /// Bytes that it takes.
        size: Option<u64>,
        /// Which bits, if it is a bit-field.
        bits: Option<Bits>,
        /// As C spells its type.
        #[serde(rename = "type")]
        spelling: String,
    },
    /// A value.
    Value {
        /// Its name.
        name: String,
        /// The number.
        value: i64,
    },
}

impl Types {
    /// A type by its name, laid out.
    ///
    /// # Errors
    /// [`Unknown::Type`].
    pub fn shape(&self, name: &str) -> Result<Shape, Unknown> {
        let id = self.find(name);
        let id = id.ok_or_else(|| Unknown::Type(name.to_owned()))?;
        Ok(self.shape_of(id))
    }

    /// A type by its number, laid out.
    pub fn shape_of(&self, id: TypeId) -> Shape {
        let plain = self.plain(id).unwrap_or(id);
        let record = self.record(plain);
        let members = self.named_members(plain);
        let mut parts: Vec<_> = members.map(|(member, at)| self.part(&member, at)).collect();
        let values = record.iter().flat_map(|record| record.values());
        parts.extend(values.map(|(name, value)| Part::Value {
            name: self.string(name).to_owned(),
            value,
        }));
        Shape {
            name: self.spelling(id),
            kind: record.map(|record| record.kind),
            size: self.size(id),
            parts,
        }
    }

    fn part(&self, member: &Member, at: u64) -> Part {
        let shift = u8::try_from(at % 8).unwrap_or(0);
        Part::Member {
            name: self.string(member.name).to_owned(),
            offset: at / 8,
            size: self.size(member.type_id),
            bits: self.width(member).map(|width| Bits { shift, width }),
            spelling: self.spelling(member.type_id),
        }
    }
}
