//! A kernel's file, and the memory that it is laid out in, as before its first instruction. Owns where
//! its segments go; the file is the test's, and one that makes no sense panics.

use oriel_machine::paging::Mode;
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

use crate::sight::Sight;

const RAM: usize = 128 << 20;
/// Where the kernel maps itself from physical 0 on.
const MAP: u64 = 0xffff_ffff_8000_0000;
/// Page tables, below everything that a kernel is loaded to.
const TABLES: u64 = 0x1000;

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Where it is linked.
    pub address: u64,
    /// Where it is in the file.
    pub offset: usize,
    /// Bytes of it.
    pub size: usize,
}

/// A kernel.
#[derive(Debug)]
pub struct Vmlinux {
    bytes: Vec<u8>,
    memory: GuestMemoryMmap<()>,
}

impl Vmlinux {
    /// A kernel out of its file: a 64-bit ELF of x86.
    ///
    /// # Panics
    /// If it is none.
    pub fn new(bytes: Vec<u8>) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]);
        let kernel = Self {
            bytes,
            memory: memory.expect("RAM"),
        };
        kernel.lay_out();
        kernel
    }

    /// The memory that it is laid out in.
    pub const fn memory(&self) -> &GuestMemoryMmap<()> {
        &self.memory
    }

    /// A vCPU on the tables that map it, and nothing more.
    pub const fn sight(&self) -> Sight {
        Sight {
            vcpu: 0,
            mode: Mode::Long { levels: 4 },
            cr3: TABLES,
            lstar: None,
            idt: None,
            gs_base: None,
            kernel_gs_base: None,
        }
    }

    /// Puts each loadable segment where it goes, and maps its pages.
    fn lay_out(&self) {
        let (start, size, count) = (self.word(0x20), self.half(0x36), self.half(0x38));
        self.store(TABLES + 511 * 8, 0x2003);
        self.store(0x2000 + 510 * 8, 0x3003);
        for number in 0..count {
            let at = place(start) + number * size;
            let (kind, flags) = (self.half(at), self.half(at + 4));
            let (virtual_at, physical) = (self.word(at + 0x10), self.word(at + 0x18));
            if kind != 1 || virtual_at < MAP {
                continue;
            }
            let (offset, length) = (place(self.word(at + 8)), place(self.word(at + 0x20)));
            let segment = &self.bytes[offset..offset + length];
            let stored = self.memory.write_slice(segment, GuestAddress(physical));
            stored.expect("a segment fits into RAM");
            let end = physical + self.word(at + 0x28);
            self.map(physical..end, flags & 2 != 0);
        }
    }

    fn map(&self, physical: std::ops::Range<u64>, writable: bool) {
        for number in physical.start >> 21..=(physical.end - 1) >> 21 {
            let rights = if writable { 0x83 } else { 0x81 };
            self.store(0x3000 + number * 8, number << 21 | rights);
        }
    }

    fn store(&self, gpa: u64, word: u64) {
        let stored = self.memory.write_obj(word, GuestAddress(gpa));
        stored.expect("tables are in RAM");
    }

    /// A section by its name.
    ///
    /// # Panics
    /// If the file ends within its own tables.
    pub fn section(&self, name: &str) -> Option<Section> {
        let (start, size, count) = (place(self.word(0x28)), self.half(0x3a), self.half(0x3c));
        let names = self.nth(start, size, self.half(0x3e));
        let mut numbers = 0..count;
        let found = numbers.find(|number| {
            let name_at = names.offset + self.half(start + number * size);
            let text = &self.bytes[name_at..];
            text.starts_with(name.as_bytes()) && text[name.len()] == 0
        });
        found.map(|number| self.nth(start, size, number))
    }

    fn nth(&self, start: usize, size: usize, number: usize) -> Section {
        let at = start + number * size;
        Section {
            address: self.word(at + 0x10),
            offset: place(self.word(at + 0x18)),
            size: place(self.word(at + 0x20)),
        }
    }

    /// The bytes of a section.
    ///
    /// # Panics
    /// If it is another file's.
    pub fn bytes_of(&self, section: Section) -> &[u8] {
        &self.bytes[section.offset..section.offset + section.size]
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    fn half(&self, at: usize) -> usize {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().expect("two bytes")).into()
    }
}

fn place(word: u64) -> usize {
    usize::try_from(word).expect("64 bits")
}
