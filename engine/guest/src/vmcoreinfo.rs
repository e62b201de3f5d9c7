//! The note that a kernel keeps for crash dumps: plain lines of text in a page of its own (Linux,
//! `Documentation/admin-guide/kdump/vmcoreinfo.rst`). Owns its words, and where it is looked for.

use oriel_machine::{GuestMemory, Piece};
use oriel_protocol::Gpa;
use serde::Serialize;

/// What it begins with, at the beginning of a page.
const BEGIN: &[u8] = b"OSRELEASE=";
const PAGE: usize = 0x1000;
/// How many pages are looked at with one call.
const AT_ONCE: u64 = 512;
/// The memory that is looked through. A kernel takes the page from anywhere, but to look at each page
/// of a large guest would take longer than what stands there is worth.
const FARTHEST: Gpa = 8 << 30;

/// What the note says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vmcoreinfo {
    lines: Vec<(String, String)>,
}

impl Vmcoreinfo {
    /// The lines of a note.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let lines = lines.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            lines: lines.collect(),
        }
    }

    /// Looks through RAM, page by page. What begins like a note but has no place of the kernel's
    /// tables is a copy of something else.
    pub fn search(memory: &dyn GuestMemory) -> Option<Self> {
        let pages = memory.end().min(FARTHEST) / PAGE as u64;
        let groups = (0..pages).step_by(usize::try_from(AT_ONCE).unwrap_or(1));
        groups
            .flat_map(|first| beginnings(memory, first, AT_ONCE.min(pages - first)))
            .filter_map(|gpa| Self::at(memory, gpa))
            .find(|note| note.symbol("swapper_pg_dir").is_some())
    }

    fn at(memory: &dyn GuestMemory, gpa: Gpa) -> Option<Self> {
        let mut page = vec![0; PAGE];
        memory.read_at(gpa, &mut page).ok()?;
        Some(Self::parse(&crate::words::text(&page)))
    }

    /// What stands behind a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let line = self.lines.iter().find(|(known, _)| known == key);
        line.map(|(_, value)| value.as_str())
    }

    /// The release, as uname says it.
    pub fn release(&self) -> Option<&str> {
        self.get("OSRELEASE")
    }

    /// The address of a symbol, as it is now.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        hexadecimal(self.get(&format!("SYMBOL({name})"))?)
    }

    /// How far KASLR has moved the kernel.
    pub fn slide(&self) -> Option<u64> {
        hexadecimal(self.get("KERNELOFFSET")?)
    }

    /// How far physical addresses of the image are from where it is linked.
    pub fn physical_base(&self) -> Option<i64> {
        self.get("NUMBER(phys_base)")?.parse().ok()
    }
}

fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// The pages of a group that begin as a note does.
fn beginnings(memory: &dyn GuestMemory, first: u64, count: u64) -> Vec<Gpa> {
    let mut heads = vec![[0; BEGIN.len()]; usize::try_from(count).unwrap_or(0)];
    let gpas = (first..).map(|page| page * PAGE as u64);
    let pieces = gpas.zip(&mut heads);
    let mut pieces: Vec<_> = pieces.map(|(gpa, head)| Piece::new(gpa, head)).collect();
    memory.read_each(&mut pieces);
    let fits = |piece: &Piece<'_>| piece.outcome.is_ok() && piece.to == BEGIN;
    pieces
        .iter()
        .filter(|piece| fits(piece))
        .map(|piece| piece.gpa)
        .collect()
}

#[cfg(test)]
mod tests {
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;

    const NOTE: &str = "OSRELEASE=6.1.0-test\nBUILD-ID=00\nPAGESIZE=4096\n\
        SYMBOL(swapper_pg_dir)=ffffffff8260a000\nNUMBER(phys_base)=-16777216\nKERNELOFFSET=1a000000\n";

    fn memory(notes: &[(Gpa, &str)]) -> GuestMemoryMmap<()> {
        let memory = GuestMemoryMmap::from_ranges(&[
            (GuestAddress(0), 0x10_0000),
            (GuestAddress(0x20_0000), 0x10_0000),
        ])
        .unwrap();
        for (gpa, note) in notes {
            GuestMemory::write_at(&memory, *gpa, note.as_bytes()).unwrap();
        }
        memory
    }

    #[test]
    fn a_note_behind_a_hole_is_found_and_read() {
        let memory = memory(&[(0x3000, "OSRELEASE=\n"), (0x2a_b000, NOTE)]);
        let note = Vmcoreinfo::search(&memory).unwrap();
        assert_eq!(note.release(), Some("6.1.0-test"));
        assert_eq!(note.symbol("swapper_pg_dir"), Some(0xffff_ffff_8260_a000));
        assert_eq!(
            (note.slide(), note.physical_base()),
            (Some(0x1a00_0000), Some(-0x100_0000))
        );
        assert_eq!(note.symbol("init_uts_ns"), None);
    }

    #[test]
    fn text_that_does_not_begin_a_page_is_no_note() {
        let memory = memory(&[(0x2a_b010, NOTE)]);
        assert_eq!(Vmcoreinfo::search(&memory), None);
    }
}
