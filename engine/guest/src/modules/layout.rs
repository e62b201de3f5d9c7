//! Where what is in `struct module`. Owns both ways in which kernels keep a module's memory: two
//! stretches until 6.3, one for each purpose since.

use oriel_protocol::Gva;

use super::{Module, Part, PartKind};
use crate::{answer::Unknown, btf::Types, space::Space};

/// The purposes in their order (Linux, `enum mod_mem_type`).
const KINDS: [PartKind; 7] = [
    PartKind::Text,
    PartKind::Data,
    PartKind::Rodata,
    PartKind::RoAfterInit,
    PartKind::Init,
    PartKind::Init,
    PartKind::Init,
];

pub(super) struct Layout {
    pub(super) list: u64,
    name: (u64, u64),
    state: u64,
    memory: Memory,
}

enum Memory {
    /// Address and size of each purpose, and from one to the next.
    Each {
        first: u64,
        base: u64,
        size: u64,
        stride: u64,
        count: u64,
    },
    /// What is kept, and what is only for the start.
    Two { core: Stretch, init: Stretch },
}

/// Offsets of a stretch's address, its size, and how much of it is code and constants.
struct Stretch {
    base: u64,
    size: u64,
    text: u64,
    rodata: u64,
}

impl Layout {
    pub(super) fn of(types: &Types) -> Result<Self, Unknown> {
        let name = types.field("module.name")?;
        Ok(Self {
            list: types.offset("module.list")?,
            name: (name.offset, name.size),
            state: types.offset("module.state")?,
            memory: Memory::each(types).or_else(|_| Memory::two(types))?,
        })
    }

    pub(super) fn module(&self, space: Space<'_>, address: Gva) -> Result<Module, Unknown> {
        let length = usize::try_from(self.name.1).unwrap_or(0).min(256);
        let name = space.text(address.wrapping_add(self.name.0), length)?;
        let state = space.u32(address.wrapping_add(self.state))?;
        let state = super::state(state).ok_or(Unknown::Damaged("a module"))?;
        let (size, parts) = self.memory.read(space, address)?;
        Ok(Module {
            address,
            name,
            base: parts.first().map_or(0, |part| part.base),
            size,
            state,
            parts,
        })
    }
}

impl Memory {
    fn each(types: &Types) -> Result<Self, Unknown> {
        let all = types.field("module.mem")?;
        let first = types.field("module.mem[0]")?;
        Ok(Self::Each {
            first: first.offset,
            base: types.offset("module_memory.base")?,
            size: types.offset("module_memory.size")?,
            stride: first.size,
            count: (all.size / first.size.max(1)).min(KINDS.len() as u64),
        })
    }

    fn two(types: &Types) -> Result<Self, Unknown> {
        Ok(Self::Two {
            core: Stretch::of(types, "core_layout")?,
            init: Stretch::of(types, "init_layout")?,
        })
    }

    fn read(&self, space: Space<'_>, module: Gva) -> Result<(u64, Vec<Part>), Unknown> {
        match self {
            Self::Each {
                first,
                base,
                size,
                stride,
                count,
            } => {
                let part = |(number, kind): (u64, PartKind)| {
                    let at = module.wrapping_add(first + number * stride);
                    part(
                        space,
                        kind,
                        (at.wrapping_add(*base), at.wrapping_add(*size)),
                    )
                };
                let kinds = (0..*count).zip(KINDS);
                let parts: Vec<_> = kinds.map(part).collect::<Result<_, _>>()?;
                Ok((total(&parts), present(parts)))
            }
            Self::Two { core, init } => {
                let (mut parts, kept) = core.read(space, module)?;
                let (_, start) = init.read(space, module)?;
                parts.push(start);
                let size = kept.size.saturating_add(start.size);
                Ok((size, present(parts)))
            }
        }
    }
}

impl Stretch {
    fn of(types: &Types, name: &str) -> Result<Self, Unknown> {
        let of = |member: &str| types.offset(&format!("module.{name}.{member}"));
        Ok(Self {
            base: of("base")?,
            size: of("size")?,
            text: of("text_size")?,
            rodata: of("ro_size")?,
        })
    }

    /// Its parts, and all of it: code, then constants, then data.
    fn read(&self, space: Space<'_>, module: Gva) -> Result<(Vec<Part>, Part), Unknown> {
        let at = |offset: u64| module.wrapping_add(offset);
        let whole = part(space, PartKind::Init, (at(self.base), at(self.size)))?;
        let text = u64::from(space.u32(at(self.text))?).min(whole.size);
        let rodata = u64::from(space.u32(at(self.rodata))?).clamp(text, whole.size);
        let ends = [
            (PartKind::Text, 0, text),
            (PartKind::Rodata, text, rodata),
            (PartKind::Data, rodata, whole.size),
        ];
        let parts = ends.map(|(kind, start, end)| Part {
            kind,
            base: whole.base.wrapping_add(start),
            size: end - start,
        });
        Ok((parts.to_vec(), whole))
    }
}

/// A part whose address and size are there.
fn part(space: Space<'_>, kind: PartKind, (base, size): (Gva, Gva)) -> Result<Part, Unknown> {
    let (base, size) = (space.u64(base)?, space.u32(size)?.into());
    Ok(Part { kind, base, size })
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.size).sum()
}

fn present(mut parts: Vec<Part>) -> Vec<Part> {
    parts.retain(|part| part.size != 0);
    parts
}
