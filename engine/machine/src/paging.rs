//! The software page walk that all machines share (SDM vol. 3, chapter 4): 4-level and 5-level
//! paging with 4 KiB, 2 MiB and 1 GiB pages, PAE and 32-bit paging with theirs.
//!
//! ```text
//!   registers ── Mode::of ──► Mode ─┐
//!                                   ├─ translate ──► Translation ── permits ──► yes, no
//!   cr3, gva ───────────────────────┘      │
//!                                          └─ Walks: the same, asking memory for less
//! ```
//! [`translate`] reads the guest's tables afresh each time. Nothing here writes accessed or dirty
//! bits, or raises a fault; what a processor would answer with a page fault is
//! [`Refusal::NotFound`]. Two things are left to whoever uses the answer: an entry may hold an
//! address beyond what the processor has pins for (it lies outside RAM), and bit 63 of an entry
//! is taken for "no execute" even where EFER.NXE is off and the bit is reserved.

mod cache;
mod permission;
mod walk;

use oriel_protocol::{
    Gpa, Gva, Refusal,
    x86::{Control, Special},
};

pub use cache::Walks;
pub use permission::Accessor;

use crate::GuestMemory;

const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_LA57: u64 = 1 << 12;
const EFER_LMA: u64 = 1 << 10;

/// How addresses are translated: the bits of the control registers that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Paging is off: virtual is physical.
    Off,
    /// Two levels of 4-byte entries.
    Bits32 {
        /// 4 MiB pages are on.
        pse: bool,
    },
    /// Three levels.
    Pae,
    /// Long mode: 4 or 5 levels.
    Long {
        /// 4 or 5.
        levels: u8,
    },
}

impl Mode {
    /// The mode that these registers put a vCPU in.
    pub const fn of(special: &Special) -> Self {
        Self::by(&Control::of(special))
    }

    /// The same, where no more of them is known.
    pub const fn by(control: &Control) -> Self {
        if control.cr0 & CR0_PG == 0 {
            Self::Off
        } else if control.efer & EFER_LMA != 0 {
            Self::Long {
                levels: if control.cr4 & CR4_LA57 != 0 { 5 } else { 4 },
            }
        } else if control.cr4 & CR4_PAE != 0 {
            Self::Pae
        } else {
            Self::Bits32 {
                pse: control.cr4 & CR4_PSE != 0,
            }
        }
    }
}

/// Where a virtual address leads, and what the tables allow there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The physical address.
    pub gpa: Gpa,
    /// Bytes of the page that it lies in.
    pub page_size: u64,
    /// Writing is allowed (CR0.WP aside).
    pub writable: bool,
    /// User mode is allowed.
    pub user: bool,
    /// Executing is allowed.
    pub executable: bool,
}

/// Translates an address with the tables at `cr3`.
///
/// # Errors
/// [`Refusal::NotFound`] where nothing is mapped, a table lies outside RAM, an entry has reserved
/// bits set, or the address is not canonical.
pub fn translate(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    gva: Gva,
) -> Result<Translation, Refusal> {
    walk::walk(memory, mode, cr3, gva).map(|(found, _)| found)
}

/// The physical pieces of a virtual range, in order: address and length of each.
///
/// # Errors
/// As [`translate`], for the first page that is not mapped.
pub fn pieces(
    memory: &dyn GuestMemory,
    mode: Mode,
    cr3: u64,
    gva: Gva,
    length: usize,
) -> Result<Vec<(Gpa, usize)>, Refusal> {
    split(gva, length, |at| translate(memory, mode, cr3, at))
}

/// Cuts a virtual range where its pages end.
fn split(
    gva: Gva,
    length: usize,
    mut translate: impl FnMut(Gva) -> Result<Translation, Refusal>,
) -> Result<Vec<(Gpa, usize)>, Refusal> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < length {
        let at = gva.checked_add(done as u64).ok_or(Refusal::NotFound)?;
        let found = translate(at)?;
        let left_in_page = found.page_size - (at & (found.page_size - 1));
        let piece = (length - done).min(usize::try_from(left_in_page).unwrap_or(usize::MAX));
        pieces.push((found.gpa, piece));
        done += piece;
    }
    Ok(pieces)
}

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;
