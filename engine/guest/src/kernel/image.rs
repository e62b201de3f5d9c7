//! The bytes of the kernel's image, in pieces that follow each other. Owns which are read for
//! what: tables lie in read-only data, or early in a boot in anything.

use oriel_protocol::Gva;

use super::{Kernel, Run};
use crate::space::Space;

/// The most that is read of an image: more than the data of any kernel.
const LARGEST: usize = 256 << 20;

/// Bytes and where they begin.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// The address of the first.
    pub(crate) start: Gva,
    /// All of them.
    pub(crate) bytes: Vec<u8>,
}

impl Piece {
    /// The part that an address range covers.
    pub(crate) fn part(&self, range: std::ops::Range<Gva>) -> Option<&[u8]> {
        let from = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..to)
    }
}

/// The bytes of the runs that are so, each of which is read at once. A run that cannot be read to
/// its end is left out.
pub(crate) fn pieces(kernel: &Kernel, space: Space<'_>, which: fn(&Run) -> bool) -> Vec<Piece> {
    let runs = kernel.runs.iter().filter(|run| which(run));
    let mut left = LARGEST;
    let read = |run: &Run| {
        let length = usize::try_from(run.length()).ok()?;
        left = left.checked_sub(length)?;
        let bytes = space.bytes(run.start, length).ok()?;
        let start = run.start;
        Some(Piece { start, bytes })
    };
    runs.filter_map(read).collect()
}
