//! From a path of names to a place: `task_struct.mm.pgd`, `cred.cap_effective`, `module.mem[0].base`.
//! Owns how members, anonymous members, arrays and pointers are gone through.

use serde::Serialize;

pub use oriel_protocol::linux::Bits;

use super::{Kind, LONGEST, Member, TypeId, Types};
use crate::answer::Unknown;

/// Where a member is, from the address of the type that the path begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Offsets of the pointers on the way, in order: each is added and the pointer read there.
    pub hops: Vec<u64>,
    /// Bytes from the last of them to the member.
    pub offset: u64,
    /// Bytes that it takes; 0 for an array without a length.
    pub size: u64,
    /// Which bits of those at the offset, if it is a bit-field.
    pub bits: Option<Bits>,
    /// What it is.
    pub type_id: TypeId,
}

/// A place on the way: bits from the last pointer on.
#[derive(Clone, Debug)]
struct Way {
    hops: Vec<u64>,
    bits: u64,
    type_id: TypeId,
    width: Option<u8>,
}

impl Types {
    /// Where the member is that this path leads to. It begins with a type's name; a pointer on the
    /// way is followed, an anonymous member gone through, and `[2]` takes an element.
    ///
    /// # Errors
    /// [`Unknown::Type`] for the first name, [`Unknown::Member`] for the rest.
    pub fn field(&self, path: &str) -> Result<Field, Unknown> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        let start = self.find(first);
        let start = start.ok_or_else(|| Unknown::Type(first.to_owned()))?;
        let steps = rest.split('.').filter(|step| !step.is_empty());
        let way = steps
            .take(LONGEST)
            .try_fold(Way::from(start), |way, step| self.step(way, step));
        way.and_then(|way| self.arrive(way))
            .ok_or_else(|| Unknown::Member(path.to_owned()))
    }

    /// The offset of a member that no pointer is on the way to.
    ///
    /// # Errors
    /// As [`field`](Self::field).
    pub fn offset(&self, path: &str) -> Result<u64, Unknown> {
        let field = self.field(path)?;
        let direct = field.hops.is_empty().then_some(field.offset);
        direct.ok_or_else(|| Unknown::Member(path.to_owned()))
    }

    /// One name with the elements that it asks for.
    fn step(&self, way: Way, step: &str) -> Option<Way> {
        let (name, elements) = step.split_at(step.find('[').unwrap_or(step.len()));
        let way = self.through_pointer(way)?;
        let (member, bits) = self.member(way.type_id, name)?;
        let way = Way {
            bits: way.bits.checked_add(bits)?,
            type_id: member.type_id,
            width: self.width(&member),
            ..way
        };
        let numbers = elements.split('[').filter(|text| !text.is_empty());
        numbers.take(LONGEST).try_fold(way, |way, text| {
            self.element(way, text.strip_suffix(']')?.parse().ok()?)
        })
    }

    /// The type pointed at, if it is a pointer, with the hop that leads there.
    fn through_pointer(&self, mut way: Way) -> Option<Way> {
        let plain = self.plain(way.type_id)?;
        let record = self.record(plain)?;
        if record.kind != Kind::Pointer {
            return Some(Way {
                type_id: plain,
                ..way
            });
        }
        way.hops.push(way.bits / 8);
        let type_id = self.plain(record.size_or_type)?;
        let (bits, width) = (0, None);
        Some(Way {
            type_id,
            bits,
            width,
            ..way
        })
    }

    /// One element of an array, or of what a pointer points at.
    fn element(&self, way: Way, number: u64) -> Option<Way> {
        let plain = self.plain(way.type_id)?;
        let (way, element) = match self.record(plain)?.array() {
            Some(array) => (way, array.element),
            None => {
                let way = self.through_pointer(way)?;
                let element = way.type_id;
                (way, element)
            }
        };
        let skipped = number.checked_mul(self.size(element)?)?.checked_mul(8)?;
        let bits = way.bits.checked_add(skipped)?;
        Some(Way {
            bits,
            type_id: element,
            ..way
        })
    }

    /// The member of this name, also one inside of anonymous ones, and where it is in bits.
    pub(super) fn member(&self, id: TypeId, name: &str) -> Option<(Member, u64)> {
        let mut members = self.named_members(id).filter(|_| !name.is_empty());
        members.find(|(member, _)| self.string(member.name) == name)
    }

    /// Bits that a member takes, if it is a bit-field.
    pub(super) fn width(&self, member: &Member) -> Option<u8> {
        if member.bits.is_some() {
            return member.bits;
        }
        // Before the flag, a bit-field was an integer of fewer bits than its bytes have.
        let plain = self.record(self.plain(member.type_id)?)?;
        let (_, bits) = plain.integer_bits()?;
        let narrow = u64::from(bits) < plain.size()? * 8;
        narrow.then(|| u8::try_from(bits).ok()).flatten()
    }

    fn arrive(&self, way: Way) -> Option<Field> {
        let shift = u8::try_from(way.bits % 8).ok()?;
        let bits = way.width.map(|width| Bits { shift, width });
        let size = match bits {
            Some(Bits { shift, width }) => (u64::from(shift) + u64::from(width)).div_ceil(8),
            None => self.size(way.type_id).unwrap_or(0),
        };
        Some(Field {
            offset: way.bits / 8,
            size,
            bits,
            hops: way.hops,
            type_id: way.type_id,
        })
    }
}

impl From<TypeId> for Way {
    fn from(type_id: TypeId) -> Self {
        Self {
            hops: Vec::new(),
            bits: 0,
            type_id,
            width: None,
        }
    }
}
