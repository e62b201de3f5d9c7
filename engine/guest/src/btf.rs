//! The kernel's description of its own types: BTF (Linux, `Documentation/bpf/btf.rst`), of the
//! kernel and of modules. Owns what its bytes mean; where they are is said by whoever calls.
//!
//! ```text
//!   bytes ── parse ──► Types ── field("task_struct.mm.pgd") ──► Field { hops, offset, size, bits }
//!                        │ ▲
//!                        └─┘ split: a module's types go on where the kernel's end
//! ```
//! Everything is checked when it is used: a type may name any other, itself too, so each walk from
//! type to type has a limit.

mod header;
mod kind;
mod members;
mod path;
mod render;
mod shape;

use std::sync::Arc;

pub use header::Malformed;
pub use kind::{Kind, Member, TypeId};
pub use path::{Bits, Field};
pub use shape::{Part, Shape};

use header::Header;
pub(crate) use header::MAGIC;
use kind::Record;

use crate::words;

/// The longest chain of typedefs, qualifiers and arrays that is followed.
const LONGEST: usize = 64;
/// The longest name (`KSYM_NAME_LEN`); of a longer one the rest is left out.
const LONGEST_NAME: usize = 512;
/// More types than any kernel or module has.
const MOST_TYPES: usize = 4 << 20;

/// Types, and those that they build upon.
#[derive(Clone)]
pub struct Types {
    bytes: Vec<u8>,
    header: Header,
    /// Where each of them begins among the bytes of types.
    begins: Vec<u32>,
    /// The hash of the name and the number of each that is looked up by name.
    by_name: Vec<(u32, TypeId)>,
    base: Option<Arc<Self>>,
}

impl Types {
    /// The types in these bytes.
    ///
    /// # Errors
    /// [`Malformed`] names what does not hold together.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        Self::read(bytes, None)
    }

    /// The types of a module, which build upon those of the kernel.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn split(bytes: Vec<u8>, base: Arc<Self>) -> Result<Self, Malformed> {
        Self::read(bytes, Some(base))
    }

    fn read(bytes: Vec<u8>, base: Option<Arc<Self>>) -> Result<Self, Malformed> {
        let header = Header::read(&bytes)?;
        let begins = header.begins(&bytes)?;
        let mut types = Self {
            bytes,
            header,
            begins,
            by_name: Vec::new(),
            base,
        };
        types.by_name = types.names();
        Ok(types)
    }

    /// How many there are, with those that they build upon, and without `void`.
    pub fn len(&self) -> usize {
        self.first() as usize - 1 + self.begins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its own strings; those of what builds upon it follow them.
    pub fn strings_length(&self) -> u32 {
        u32::try_from(self.header.strings.len()).unwrap_or(u32::MAX)
    }

    /// The number of the first type of its own; `void` is 0.
    fn first(&self) -> TypeId {
        let base = self.base.as_ref().map_or(0, |base| base.len());
        TypeId::try_from(base + 1).unwrap_or(TypeId::MAX)
    }

    /// Where its own strings begin, as types count.
    fn first_string(&self) -> usize {
        let base = self.base.as_ref();
        base.map_or(0, |base| base.first_string() + base.header.strings.len())
    }

    /// What a number stands for; none beyond the last.
    pub(crate) fn record(&self, id: TypeId) -> Option<Record<'_>> {
        let Some(own) = id.checked_sub(self.first()) else {
            return self.base.as_ref()?.record(id);
        };
        let begin = *self.begins.get(usize::try_from(own).ok()?)?;
        let types = self.bytes.get(self.header.types.clone())?;
        Record::at(types, usize::try_from(begin).ok()?)
    }

    /// The string at this offset, empty if there is none.
    pub fn string(&self, offset: u32) -> &str {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(own) = at.checked_sub(self.first_string()) else {
            return self.base.as_ref().map_or("", |base| base.string(offset));
        };
        let strings = self.bytes.get(self.header.strings.clone());
        let rest = strings.and_then(|strings| strings.get(own..));
        let rest = rest.map(|rest| rest.get(..LONGEST_NAME).unwrap_or(rest));
        std::str::from_utf8(words::until_nul(rest.unwrap_or_default())).unwrap_or_default()
    }

    /// The name of a type, empty if it has none.
    pub fn name(&self, id: TypeId) -> &str {
        self.record(id)
            .map_or("", |record| self.string(record.name))
    }

    /// Structures, unions, enumerations, typedefs and numbers by name.
    fn names(&self) -> Vec<(u32, TypeId)> {
        let ids = self.first()..;
        let own = ids.take(self.begins.len());
        let named = own.filter_map(|id| {
            let record = self.record(id)?;
            let name = self.string(record.name);
            let looked_up = record.kind.is_looked_up() && !name.is_empty();
            looked_up.then(|| (words::hash(name.as_bytes()), id))
        });
        let mut names: Vec<_> = named.collect();
        names.sort_unstable();
        names
    }

    /// The types of this name that can be looked up, its own before those they build upon.
    pub fn all(&self, name: &str) -> Vec<TypeId> {
        let hash = words::hash(name.as_bytes());
        let first = self.by_name.partition_point(|(known, _)| *known < hash);
        let same = self.by_name.iter().skip(first);
        let ids = same
            .take_while(|(known, _)| *known == hash)
            .map(|(_, id)| *id);
        let own = ids.filter(|id| self.name(*id) == name);
        let base = self.base.as_ref().map(|base| base.all(name));
        own.chain(base.into_iter().flatten()).collect()
    }

    /// The type of this name: a structure or union with members before anything else. `struct`,
    /// `union` and `enum` before the name are accepted, and hold to it.
    pub fn find(&self, name: &str) -> Option<TypeId> {
        let (wanted, name) = kind::wanted(name);
        let all = self.all(name);
        let rank = |id: &TypeId| {
            let record = self.record(*id)?;
            wanted
                .is_none_or(|kind| kind == record.kind)
                .then(|| record.rank())
        };
        all.into_iter()
            .filter_map(|id| Some((rank(&id)?, id)))
            .min()
            .map(|(_, id)| id)
    }

    /// The type behind typedefs, qualifiers and tags.
    pub fn plain(&self, mut id: TypeId) -> Option<TypeId> {
        for _ in 0..LONGEST {
            let Some(record) = self.record(id) else {
                return (id == 0).then_some(0);
            };
            if !record.kind.is_alias() {
                return Some(id);
            }
            id = record.size_or_type;
        }
        None
    }

    /// Bytes that a value of this type takes.
    pub fn size(&self, id: TypeId) -> Option<u64> {
        let (mut id, mut count) = (id, 1u64);
        for _ in 0..LONGEST {
            let record = self.record(self.plain(id)?)?;
            if let Some(size) = record.size() {
                return count.checked_mul(size);
            }
            let array = record.array()?;
            count = count.checked_mul(array.count.into())?;
            id = array.element;
        }
        None
    }

    /// The members of a structure or union, in order.
    pub fn members(&self, id: TypeId) -> Vec<Member> {
        let record = self.record(id);
        record.map_or_else(Vec::new, |record| record.members().collect())
    }
}

/// How many bytes a description takes that begins here, as it says itself.
pub(crate) fn claimed_length(bytes: &[u8]) -> Option<usize> {
    Header::claimed(bytes).map(|header| header.length())
}

impl std::fmt::Debug for Types {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Types({})", self.len())
    }
}

#[cfg(test)]
mod tests;
