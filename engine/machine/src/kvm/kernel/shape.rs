//! What kind of kernel a file is, and how much memory it takes; found in its headers, whose
//! numbers are not believed further than that.

use std::path::Path;

use super::{KernelError, layout::FIRST_KERNEL};

/// What kind of kernel a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A vmlinux for x86-64.
    Elf {
        /// Where PVH enters it.
        entry: u64,
        /// The physical address behind its last byte.
        end: u64,
    },
    /// A compressed kernel with a setup header.
    BzImage {
        /// The physical address behind what it takes to unpack itself.
        end: u64,
        /// The address behind the highest byte of an initramfs.
        initrd_end: u64,
    },
}

const ELF: [u8; 4] = *b"\x7fELF";
/// Class 64, little-endian.
const ELF_64: [u8; 2] = [2, 1];
const ELF_MACHINE: usize = 18;
const ELF_X86_64: u64 = 62;
const ELF_HEADERS: usize = 32;
const ELF_HEADER_COUNT: usize = 56;
const ELF_HEADER_SIZE: usize = 56;
const ELF_LOAD: u64 = 1;
const ELF_NOTE: u64 = 4;
const NOTE_PVH_ENTRY: u64 = 18;

const SETUP_MAGIC: usize = 0x202;
const HDRS: [u8; 4] = *b"HdrS";
/// Version 2.12: the first with `xloadflags`.
const SETUP_VERSION: u64 = 0x20c;
const HAS_64_BIT_ENTRY: u64 = 1;

impl Shape {
    pub(super) fn has_magic(bytes: &[u8]) -> bool {
        bytes.starts_with(&ELF) || bytes.get(SETUP_MAGIC..SETUP_MAGIC + 4) == Some(&HDRS)
    }

    /// What this file is.
    pub(super) fn of(bytes: &[u8], file: &Path) -> Result<Self, KernelError> {
        if bytes.starts_with(&ELF) {
            Self::of_elf(bytes, file)
        } else if Self::has_magic(bytes) {
            Self::of_bzimage(bytes, file)
        } else {
            Err(KernelError::NotAKernel {
                file: file.to_owned(),
            })
        }
    }

    fn of_elf(bytes: &[u8], file: &Path) -> Result<Self, KernelError> {
        let is_x86_64 =
            bytes.get(4..6) == Some(&ELF_64) && word(bytes, ELF_MACHINE, 2) == Some(ELF_X86_64);
        if !is_x86_64 {
            let file = file.to_owned();
            return Err(KernelError::NotAKernel { file });
        }
        let segments = segments(bytes).ok_or_else(|| KernelError::Broken {
            file: file.to_owned(),
            reason: "its program headers are not in it".to_owned(),
        })?;
        let notes = segments.iter().filter(|segment| segment.kind == ELF_NOTE);
        let entry = notes.filter_map(|notes| pvh_entry(bytes, notes)).next();
        let entry = entry.ok_or_else(|| KernelError::NoEntry {
            file: file.to_owned(),
            entry: "PVH entry",
            option: "CONFIG_PVH, or give its bzImage",
        })?;
        let loaded = segments.iter().filter(|segment| segment.kind == ELF_LOAD);
        let ends = loaded.map(|segment| segment.start.saturating_add(segment.in_memory));
        let end = ends.max().unwrap_or(0);
        Ok(Self::Elf { entry, end })
    }

    fn of_bzimage(bytes: &[u8], file: &Path) -> Result<Self, KernelError> {
        let field = |at, size| word(bytes, at, size).unwrap_or(0);
        if field(0x206, 2) < SETUP_VERSION || field(0x236, 2) & HAS_64_BIT_ENTRY == 0 {
            return Err(KernelError::NoEntry {
                file: file.to_owned(),
                entry: "64-bit entry",
                option: "CONFIG_X86_64, Linux 3.8 or later",
            });
        }
        // It unpacks itself to where it prefers to be, or where it has been put if that is higher.
        let start = field(0x258, 8).max(FIRST_KERNEL);
        let end = start.saturating_add(field(0x260, 4).max(bytes.len() as u64));
        let initrd_end = field(0x22c, 4).saturating_add(1);
        Ok(Self::BzImage { end, initrd_end })
    }

    /// The address behind all that the kernel takes at first.
    pub(super) const fn end(&self) -> u64 {
        match self {
            Self::Elf { end, .. } | Self::BzImage { end, .. } => *end,
        }
    }

    /// The address behind the highest byte of an initramfs.
    pub(super) const fn initrd_end(&self) -> u64 {
        match self {
            Self::Elf { .. } => 1 << 32,
            Self::BzImage { initrd_end, .. } => *initrd_end,
        }
    }
}

/// What a program header says.
struct Segment {
    kind: u64,
    /// Where its bytes are in the file, and how many.
    offset: u64,
    in_file: u64,
    /// Where they go in memory, and how many there are then.
    start: u64,
    in_memory: u64,
}

/// What the program headers say; none if they are not all in the file.
fn segments(bytes: &[u8]) -> Option<Vec<Segment>> {
    let headers = usize::try_from(word(bytes, ELF_HEADERS, 8)?).ok()?;
    let count = usize::try_from(word(bytes, ELF_HEADER_COUNT, 2)?).ok()?;
    let segment = |header| {
        let at = headers.checked_add(header * ELF_HEADER_SIZE)?;
        let field = |offset, size| word(bytes, at.checked_add(offset)?, size);
        Some(Segment {
            kind: field(0, 4)?,
            offset: field(8, 8)?,
            start: field(24, 8)?,
            in_file: field(32, 8)?,
            in_memory: field(40, 8)?,
        })
    };
    (0..count).map(segment).collect()
}

/// The 32-bit entry in a segment of notes: `XEN_ELFNOTE_PHYS32_ENTRY` of the owner `Xen`.
fn pvh_entry(bytes: &[u8], notes: &Segment) -> Option<u64> {
    let mut at = usize::try_from(notes.offset).ok()?;
    let end = at.checked_add(usize::try_from(notes.in_file).ok()?)?;
    while at < end {
        let field = |offset| word(bytes, at + offset, 4);
        let (name, size, kind) = (field(0)?, field(4)?, field(8)?);
        let data = at.checked_add(12)?.checked_add(padded(name)?)?;
        let owner = bytes.get(at + 12..at + 12 + usize::try_from(name).ok()?)?;
        if kind == NOTE_PVH_ENTRY && owner == b"Xen\0" {
            return word(bytes, data, usize::try_from(size.min(4)).ok()?);
        }
        at = data.checked_add(padded(size)?)?;
    }
    None
}

/// A length in a note, with the bytes that fill it up to a multiple of four.
fn padded(length: u64) -> Option<usize> {
    usize::try_from(length).ok()?.checked_next_multiple_of(4)
}

/// A little-endian number of up to eight bytes.
fn word(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte)),
    )
}
