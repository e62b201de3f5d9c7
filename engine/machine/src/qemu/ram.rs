//! Guest RAM in the file of QEMU's memory backend: read in place, never written, because QEMU would
//! not know of it (TCG keeps translations of code, and dirty pages are counted).
//!
//! A mapping of a file that somebody truncates kills whoever touches it. So a file is mapped only if
//! it is sealed against shrinking, as QEMU's memfds are by themselves; any other is read by `pread`,
//! for which the end of the file is no more than that.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use oriel_protocol::{Gpa, Refusal};
use rustix::fs::{SealFlags, fcntl_get_seals};
use thiserror::Error;
use vm_memory::{
    Bytes as _, FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion,
};

use super::blocks::Block;
use crate::GuestMemory;

/// The file cannot be used.
#[derive(Debug, Error)]
pub enum RamError {
    /// It cannot be opened or mapped.
    #[error("the guest's memory at {} cannot be used", path.display())]
    File {
        /// Where it is.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// Another file, or another guest's.
    #[error(
        "{} has {found} bytes, and the guest's RAM takes {needed}: this is not its memory; leave `--ram` at `auto`, or name the file of the memory backend",
        path.display()
    )]
    Size {
        /// Where it is.
        path: PathBuf,
        /// Bytes in the file.
        found: u64,
        /// Bytes that the guest's RAM takes.
        needed: u64,
    },
    /// It does not hold what the guest sees.
    #[error(
        "{} does not hold what the guest sees at {gpa:#x}: it is another guest's memory, or its backend is not `share=on`",
        path.display()
    )]
    Content {
        /// Where it is.
        path: PathBuf,
        /// Where they differ.
        gpa: Gpa,
    },
    /// There is no way to it.
    #[error("{0}")]
    Missing(String),
}

/// Guest RAM in a file.
#[derive(Debug)]
pub(super) struct Ram {
    file: File,
    blocks: Vec<Block>,
    mapped: Option<GuestMemoryMmap<()>>,
}

impl Ram {
    /// The RAM that these blocks say is in this file.
    pub(super) fn open(path: &Path, blocks: Vec<Block>) -> Result<Self, RamError> {
        let failed = |source| RamError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?.len();
        let needed = blocks
            .iter()
            .map(|block| block.offset.saturating_add(block.length));
        let needed = needed.max().unwrap_or(0);
        if found < needed {
            return Err(RamError::Size {
                path: path.to_owned(),
                found,
                needed,
            });
        }
        let mapped = is_sealed(&file)
            .then(|| map(&file, &blocks))
            .transpose()
            .map_err(failed)?;
        Ok(Self {
            file,
            blocks,
            mapped,
        })
    }

    /// Fills `to` from `gpa` on.
    pub(super) fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        if let Some(mapped) = &self.mapped {
            return mapped
                .read_slice(to, GuestAddress(gpa))
                .map_err(|_| Refusal::NotFound);
        }
        let length = u64::try_from(to.len()).map_err(|_| Refusal::NotFound)?;
        let block = find(&self.blocks, gpa, length);
        let Some(block) = block else {
            return self.read_over_blocks(gpa, to);
        };
        let at = block.offset + (gpa - block.gpa);
        // Short, if somebody has truncated the file.
        self.file
            .read_exact_at(to, at)
            .map_err(|_| Refusal::NotFound)
    }

    /// A range that begins in one block and ends in the next.
    fn read_over_blocks(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        let length = to.len() as u64;
        if !covers(&self.blocks, gpa, length) {
            return Err(Refusal::NotFound);
        }
        let first = find(&self.blocks, gpa, 1).ok_or(Refusal::NotFound)?;
        let here = usize::try_from(first.gpa + first.length - gpa).unwrap_or(to.len());
        let (head, tail) = to.split_at_mut_checked(here).ok_or(Refusal::NotFound)?;
        self.read_at(gpa, head)?;
        self.read_at(first.gpa + first.length, tail)
    }

    /// RAM as it is mapped, if it can be.
    pub(super) const fn mapping(&self) -> Option<&GuestMemoryMmap<()>> {
        self.mapped.as_ref()
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

/// RAM that is only looked at.
impl GuestMemory for Ram {
    fn read_at(&self, gpa: Gpa, to: &mut [u8]) -> Result<(), Refusal> {
        Self::read_at(self, gpa, to)
    }

    fn write_at(&self, _: Gpa, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn end(&self) -> Gpa {
        end(&self.blocks)
    }

    fn covers(&self, gpa: Gpa, length: u64) -> bool {
        covers(&self.blocks, gpa, length)
    }

    fn mapping(&self) -> Option<&GuestMemoryMmap<()>> {
        Self::mapping(self)
    }

    fn is_near(&self) -> bool {
        true
    }
}

/// The block that holds all of this range.
fn find(blocks: &[Block], gpa: Gpa, length: u64) -> Option<&Block> {
    let at = blocks.partition_point(|block| block.gpa <= gpa);
    let block = blocks.get(at.checked_sub(1)?)?;
    let offset = gpa - block.gpa;
    (offset < block.length && length <= block.length - offset).then_some(block)
}

/// Whether all of a range is in these blocks.
pub(super) fn covers(blocks: &[Block], gpa: Gpa, length: u64) -> bool {
    let (mut at, mut left) = (gpa, length);
    loop {
        let Some(block) = find(blocks, at, u64::from(left > 0)) else {
            return false;
        };
        let here = block.length - (at - block.gpa);
        if left <= here {
            return true;
        }
        left -= here;
        at = block.gpa + block.length;
    }
}

/// The address behind the last byte.
pub(super) fn end(blocks: &[Block]) -> Gpa {
    blocks
        .last()
        .map_or(0, |block| block.gpa.saturating_add(block.length))
}

fn is_sealed(file: &File) -> bool {
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

/// Maps the blocks, to be read only.
fn map(file: &File, blocks: &[Block]) -> io::Result<GuestMemoryMmap<()>> {
    let region = |block: &Block| {
        let file = FileOffset::new(file.try_clone()?, block.offset);
        let length = usize::try_from(block.length).map_err(io::Error::other)?;
        let mapped = MmapRegion::build(Some(file), length, libc::PROT_READ, libc::MAP_SHARED);
        let mapped = mapped.map_err(io::Error::other)?;
        GuestRegionMmap::new(mapped, GuestAddress(block.gpa))
            .ok_or_else(|| io::Error::other("RAM beyond the last address"))
    };
    let regions: io::Result<Vec<_>> = blocks.iter().map(region).collect();
    GuestMemoryMmap::from_regions(regions?).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
