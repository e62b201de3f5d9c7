//! How far the kernel's image reaches, as runs of pages with equal rights. Owns the walk over it,
//! which is bounded by the size that images can have.

use oriel_protocol::Gva;
use serde::Serialize;

use super::RANGE;
use crate::space::Space;

/// What a kernel frees of its image once it has booted leaves holes, never as large as this.
const LARGEST_HOLE: u64 = 16 << 20;
/// No image is larger.
const LARGEST: u64 = 512 << 20;
/// The smallest page.
const STEP: u64 = 0x1000;

/// Pages that follow each other and have the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The first byte.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub start: Gva,
    /// Behind the last byte.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub end: Gva,
    /// The kernel may write it.
    pub writable: bool,
    /// Its bytes may run as code.
    pub executable: bool,
}

impl Run {
    /// Bytes of it.
    pub const fn length(&self) -> u64 {
        self.end - self.start
    }

    /// Whether an address lies in it.
    pub const fn contains(&self, gva: Gva) -> bool {
        self.start <= gva && gva < self.end
    }

    const fn goes_on_with(&self, next: &Self) -> bool {
        self.end == next.start
            && self.writable == next.writable
            && self.executable == next.executable
    }
}

/// What is mapped from `start` on.
pub(super) fn runs(space: Space<'_>, start: Gva) -> Vec<Run> {
    let limit = RANGE.end.min(start.saturating_add(LARGEST));
    let (mut runs, mut at, mut seen) = (Vec::new(), start, start);
    while at < limit && at - seen < LARGEST_HOLE {
        let Some(run) = page(space, at) else {
            at += STEP;
            continue;
        };
        (at, seen) = (run.end, run.end);
        append(&mut runs, run);
    }
    runs
}

/// What is left from `at` on of the page that it lies in.
fn page(space: Space<'_>, at: Gva) -> Option<Run> {
    let page = space.translate(at).ok()?;
    let end = (at | (page.page_size - 1)).checked_add(1)?;
    Some(Run {
        start: at,
        end: end.min(RANGE.end),
        writable: page.writable,
        executable: page.executable,
    })
}

fn append(runs: &mut Vec<Run>, next: Run) {
    match runs.last_mut() {
        Some(last) if last.goes_on_with(&next) => last.end = next.end,
        Some(_) | None => runs.push(next),
    }
}
