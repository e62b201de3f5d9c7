//! The first page of the kernel's image. Owns the ways to it, in the order of what they cost.

use oriel_protocol::Gva;

use super::RANGE;
use crate::{answer::Source, sight::Sight, space::Space, words};

/// What a kernel's image is aligned to, with KASLR too (`CONFIG_PHYSICAL_ALIGN`, at least 2 MiB).
const ALIGN: u64 = 2 << 20;
/// A gate for which every kernel has a handler: the page fault's, number 14, of 16 bytes.
const PAGE_FAULT: u64 = 14 * 16;

/// The first mapped page, and how it was found.
pub(super) fn first_page(sight: &Sight, space: Space<'_>) -> Option<(Gva, Source)> {
    let lstar = sight.lstar.map(|lstar| (lstar, Source::Lstar));
    let handler = handler(sight, space).map(|handler| (handler, Source::Idt));
    let anchors = [lstar, handler].into_iter().flatten();
    anchors
        .filter_map(|(anchor, source)| Some((downwards(space, anchor)?, source)))
        .next()
        .or_else(|| Some((upwards(space)?, Source::PageTables)))
}

/// Where page faults go, by the interrupt table.
fn handler(sight: &Sight, space: Space<'_>) -> Option<Gva> {
    let (base, limit) = sight.idt?;
    if u64::from(limit) < PAGE_FAULT + 15 {
        return None;
    }
    let gate = space.bytes(base.wrapping_add(PAGE_FAULT), 16).ok()?;
    handler_of(&gate)
}

/// The handler that a gate names (Intel SDM vol. 3, figure 6-8).
pub(crate) fn handler_of(gate: &[u8]) -> Option<Gva> {
    let low = u64::from(words::u16_at(gate, 0)?);
    let middle = u64::from(words::u16_at(gate, 6)?);
    let high = u64::from(words::u32_at(gate, 8)?);
    Some(low | middle << 16 | high << 32)
}

/// Goes down from an address in the kernel as long as what is below is mapped.
fn downwards(space: Space<'_>, anchor: Gva) -> Option<Gva> {
    if !RANGE.contains(&anchor) || space.translate(anchor).is_err() {
        return None;
    }
    let mut first = anchor & !(ALIGN - 1);
    if space.translate(first).is_err() {
        // Only a few pages of it are mapped, as a user's tables do it.
        return Some(anchor & !0xfff);
    }
    while first > RANGE.start && space.translate(first - ALIGN).is_ok() {
        first -= ALIGN;
    }
    Some(first)
}

/// Goes up through the kernel's range until something is mapped.
fn upwards(space: Space<'_>) -> Option<Gva> {
    let steps = (RANGE.end - RANGE.start) / ALIGN;
    let mut places = (0..steps).map(|step| RANGE.start + step * ALIGN);
    places.find(|at| space.translate(*at).is_ok())
}
