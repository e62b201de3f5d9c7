//! Where the kernel is: which tables map it, from where to where, and with which rights. Owns the
//! search; it never believes an anchor that the page tables do not bear out.
//!
//! ```text
//!   LSTAR, IDT ──anchor──┐
//!                        ├─► first page ──► runs of equal rights ──► Kernel
//!   kernel range, by 2 MiB ┘
//! ```
//! Under KPTI a vCPU in user mode has tables that map little of the kernel. They are the second of
//! a pair of pages, so bit 12 of CR3 cleared gives those that map all of it.

mod anchor;
mod extent;
mod image;

use oriel_machine::GuestMemory;
use oriel_protocol::Gva;
use serde::Serialize;

use crate::{
    answer::{Source, Unknown},
    sight::Sight,
    space::Space,
};

pub(crate) use anchor::handler_of;
pub use extent::Run;
pub(crate) use image::{Piece, pieces};

/// Where the kernel's image may lie (Linux, `Documentation/arch/x86/x86_64/mm.rst`).
pub const RANGE: std::ops::Range<Gva> = 0xffff_ffff_8000_0000..0xffff_ffff_c000_0000;
/// The bit by which the two tables of a process differ under KPTI.
const KPTI: u64 = 1 << 12;
/// A user's tables map less than this of the kernel's image; no kernel is smaller.
const SMALLEST: u64 = 4 << 20;

/// The kernel's image in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// The tables that it was found by: a vCPU's, or the kernel's half of a pair.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub cr3: u64,
    /// How its first page was found.
    pub source: Source,
    /// What is mapped of it, in order, as runs of equal rights.
    pub runs: Vec<Run>,
}

impl Kernel {
    /// Looks for it from these vCPUs, and says by which tables.
    ///
    /// # Errors
    /// [`Unknown::NotLongMode`], [`Unknown::NoKernel`].
    pub fn find<'m>(
        memory: &'m dyn GuestMemory,
        sights: &[Sight],
    ) -> Result<(Self, Space<'m>), Unknown> {
        let long: Vec<_> = sights.iter().filter(|sight| sight.is_long()).collect();
        if long.is_empty() {
            return Err(Unknown::NotLongMode);
        }
        let mut best = None;
        for (sight, cr3) in long.into_iter().flat_map(tables) {
            let space = Space::new(memory, sight.mode, cr3);
            let Some(kernel) = Self::by(sight, space) else {
                continue;
            };
            if kernel.is_whole() {
                return Ok((kernel, space));
            }
            best = larger(best, (kernel, space));
        }
        best.ok_or(Unknown::NoKernel)
    }

    fn by(sight: &Sight, space: Space<'_>) -> Option<Self> {
        let (at, source) = anchor::first_page(sight, space)?;
        let runs = extent::runs(space, at);
        runs.iter().any(|run| run.executable).then_some(Self {
            cr3: space.cr3(),
            source,
            runs,
        })
    }

    /// Where its image begins.
    pub fn start(&self) -> Gva {
        self.runs.first().map_or(RANGE.end, |run| run.start)
    }

    /// Where its image ends.
    pub fn end(&self) -> Gva {
        self.runs.last().map_or(RANGE.start, |run| run.end)
    }

    /// Whether an address lies in its image.
    pub fn contains(&self, gva: Gva) -> bool {
        (self.start()..self.end()).contains(&gva)
    }

    /// Whether code at this address can run.
    pub fn executes(&self, gva: Gva) -> bool {
        let run = self.runs.iter().find(|run| run.contains(gva));
        run.is_some_and(|run| run.executable)
    }

    fn mapped(&self) -> u64 {
        self.runs.iter().map(Run::length).sum()
    }

    /// A user's tables map text at the most, and nothing that can be written.
    fn is_whole(&self) -> bool {
        let writable: u64 = self.writable().map(Run::length).sum();
        self.mapped() >= SMALLEST && writable > 0
    }

    fn writable(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.writable)
    }
}

/// The tables to try for a vCPU, the likelier first.
pub(crate) fn tables(sight: &Sight) -> impl Iterator<Item = (&Sight, u64)> {
    let clear = sight.cr3 & !KPTI;
    let other = (clear != sight.cr3).then_some(sight.cr3);
    let all = [Some(clear), other].into_iter().flatten();
    all.map(move |cr3| (sight, cr3))
}

type Candidate<'m> = (Kernel, Space<'m>);

fn larger<'m>(best: Option<Candidate<'m>>, next: Candidate<'m>) -> Option<Candidate<'m>> {
    match best {
        Some(best) if best.0.mapped() >= next.0.mapped() => Some(best),
        Some(_) | None => Some(next),
    }
}
