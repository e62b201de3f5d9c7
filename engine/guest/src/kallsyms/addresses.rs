//! The addresses of the symbols. Owns the four ways in which kernels write them, and the proof
//! that one of them is meant.

use oriel_protocol::Gva;
use serde::Serialize;

use super::{Haystack, names::Names, tokens::Tokens};
use crate::words;

/// How addresses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// 32 bits from a base: those below zero count from it, the others are absolute, as per-CPU
    /// variables are (up to 6.14, `CONFIG_KALLSYMS_ABSOLUTE_PERCPU`).
    PercpuAbsolute,
    /// 32 bits up from a base (one CPU only, and since 6.15).
    Relative,
    /// 32 bits from the place where they stand (since 7.0).
    SelfRelative,
    /// 64 bits each (`CONFIG_KALLSYMS_BASE_RELATIVE` off, up to 6.10).
    Absolute,
}

/// A place where addresses may be.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    layout: Layout,
    at: usize,
    base: Gva,
}

/// The addresses, if one of the layouts makes sense. There is one for each name.
pub(super) fn find(
    hay: &Haystack<'_>,
    tokens: &Tokens<'_>,
    names: &Names,
) -> Option<(Layout, Vec<Gva>)> {
    let candidates = candidates(hay, tokens, names);
    candidates.into_iter().find_map(|candidate| {
        let addresses = candidate.addresses(hay, names.count)?;
        let sensible = make_sense(&addresses, &hay.image);
        (sensible && !candidate.is_its_own(hay, &addresses))
            .then_some((candidate.layout, addresses))
    })
}

/// Before the names, and behind the tokens, by every layout.
fn candidates(hay: &Haystack<'_>, tokens: &Tokens<'_>, names: &Names) -> Vec<Candidate> {
    let (short, long) = (names.count * 4, names.count * 8);
    let mut all = Vec::new();
    for room in [short.next_multiple_of(8), short] {
        if let Some(base_at) = names.count_at.checked_sub(8) {
            all.extend(based(hay, base_at.checked_sub(room), base_at));
        }
        let at = tokens.end.next_multiple_of(4);
        all.extend(based(hay, Some(at), at + room));
        all.push(unbased(
            Layout::SelfRelative,
            names.count_at.checked_sub(room),
        ));
    }
    let behind = tokens.end.next_multiple_of(4);
    all.push(unbased(Layout::SelfRelative, Some(behind)));
    all.push(unbased(Layout::Absolute, names.count_at.checked_sub(long)));
    all.push(unbased(
        Layout::Absolute,
        Some(tokens.end.next_multiple_of(8)),
    ));
    all.into_iter().flatten().collect()
}

/// Offsets with the base that stands there.
fn based(hay: &Haystack<'_>, at: Option<usize>, base_at: usize) -> [Option<Candidate>; 2] {
    let base = words::u64_at(hay.bytes, base_at);
    let base = base.filter(|base| hay.image.contains(base));
    [Layout::PercpuAbsolute, Layout::Relative].map(|layout| {
        Some(Candidate {
            layout,
            at: at?,
            base: base?,
        })
    })
}

fn unbased(layout: Layout, at: Option<usize>) -> Option<Candidate> {
    let base = 0;
    at.map(|at| Candidate { layout, at, base })
}

impl Candidate {
    fn addresses(self, hay: &Haystack<'_>, count: usize) -> Option<Vec<Gva>> {
        (0..count).map(|index| self.address(hay, index)).collect()
    }

    /// Whether these are mostly places in the table that they were read from: where there is none,
    /// but zeros, each zero counts from its own place and leads there.
    fn is_its_own(self, hay: &Haystack<'_>, addresses: &[Gva]) -> bool {
        let table = hay.gva(self.at)..hay.gva(self.at + addresses.len() * 4);
        let inside = addresses.iter().filter(|address| table.contains(address));
        inside.count() > addresses.len() / 2
    }

    fn address(self, hay: &Haystack<'_>, index: usize) -> Option<Gva> {
        if self.layout == Layout::Absolute {
            return words::u64_at(hay.bytes, self.at + index * 8);
        }
        let at = self.at + index * 4;
        let offset = words::u32_at(hay.bytes, at)?;
        let signed = i64::from(offset.cast_signed());
        Some(match self.layout {
            Layout::PercpuAbsolute if signed >= 0 => u64::from(offset),
            // What is stored is -1 less the distance.
            Layout::PercpuAbsolute => self.base.wrapping_add(u64::from(!offset)),
            Layout::SelfRelative => hay.gva(at).wrapping_add_signed(signed),
            Layout::Relative | Layout::Absolute => self.base.wrapping_add(u64::from(offset)),
        })
    }
}

/// Whether these ascend, and most of them lie in the image.
fn make_sense(addresses: &[Gva], image: &std::ops::Range<Gva>) -> bool {
    let inside = addresses.iter().filter(|at| image.contains(at)).count();
    let pairs = addresses.windows(2);
    let ascending = pairs.filter(|pair| pair[0] <= pair[1]).count();
    // A few are out of order where a linker has moved them behind the kernel's back.
    inside * 2 > addresses.len() && ascending + addresses.len() / 100 + 1 >= addresses.len()
}
