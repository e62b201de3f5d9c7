//! Guest RAM: a file in memory that is mapped twice. KVM's mapping may be protected to trap
//! accesses; Oriel's alias never is, so that reading a guest never traps.

use std::{fs::File, io, sync::Arc};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion as _,
    GuestRegionMmap,
};

use super::error::KvmError;

/// Where the hole for devices begins; RAM beyond it goes on at 4 GiB.
pub(super) const HOLE: u64 = 0xc000_0000;
const ABOVE_HOLE: u64 = 1 << 32;
const MIB: u64 = 1 << 20;

/// The memory of one VM.
pub(super) struct Ram {
    file: Arc<File>,
    size: u64,
    /// Oriel's alias.
    pub(super) alias: GuestMemoryMmap<()>,
}

impl Ram {
    /// So many MiB of zeros.
    pub(super) fn new(mib: u64) -> Result<Self, KvmError> {
        check(mib)?;
        let size = mib * MIB;
        let file = memfd_create("oriel-guest", MemfdFlags::CLOEXEC)
            .and_then(|file| ftruncate(&file, size).map(|()| file))
            .map_err(KvmError::host("allocating the guest's memory"))?;
        let file = Arc::new(File::from(file));
        let alias = map(&file, size)?;
        Ok(Self { file, size, alias })
    }

    /// Another mapping of the same memory, for KVM.
    pub(super) fn map(&self) -> Result<GuestMemoryMmap<()>, KvmError> {
        map(&self.file, self.size)
    }

    /// Fills the memory with zeros.
    pub(super) fn clear(&self) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(&*self.file, flags, 0, self.size)?)
    }
}

/// A second mapping of somebody else's memory, if there is a file behind all of it.
pub(super) fn alias(memory: &GuestMemoryMmap<()>) -> Result<Option<GuestMemoryMmap<()>>, KvmError> {
    let range = |region: &GuestRegionMmap<()>| {
        let length = usize::try_from(region.len()).ok()?;
        Some((
            region.start_addr(),
            length,
            Some(region.file_offset()?.clone()),
        ))
    };
    let Some(ranges) = memory.iter().map(range).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    GuestMemoryMmap::from_ranges_with_files(ranges)
        .map(Some)
        .map_err(io::Error::other)
        .map_err(KvmError::host("mapping the guest's memory again"))
}

fn map(file: &Arc<File>, size: u64) -> Result<GuestMemoryMmap<()>, KvmError> {
    let ranges = blocks(size).map(|(start, length, offset)| {
        let file = FileOffset::from_arc(file.clone(), offset);
        Ok((GuestAddress(start), usize::try_from(length)?, Some(file)))
    });
    let ranges: Result<Vec<_>, std::num::TryFromIntError> = ranges.collect();
    ranges
        .map_err(io::Error::other)
        .and_then(|ranges| {
            GuestMemoryMmap::from_ranges_with_files(ranges).map_err(io::Error::other)
        })
        .map_err(KvmError::host("mapping the guest's memory"))
}

/// Guest-physical start, length and offset in the file of each block.
fn blocks(size: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let low = size.min(HOLE);
    [(0, low, 0), (ABOVE_HOLE, size - low, low)]
        .into_iter()
        .filter(|(_, length, _)| *length > 0)
}

/// Whether a VM can have so many MiB. A guest's memory is taken from the host as the guest touches
/// it, so more than the host has is refused before anything is made, and more than is free now is
/// said: the host kills somebody when it runs out.
///
/// # Errors
/// [`KvmError::Memory`].
pub(super) fn check(mib: u64) -> Result<(), KvmError> {
    let text = std::fs::read_to_string("/proc/meminfo");
    let text = text.map_err(KvmError::host("reading /proc/meminfo"))?;
    let host = mib_of(&text, "MemTotal:")
        .ok_or_else(|| io::Error::other("it has no line MemTotal"))
        .map_err(KvmError::host("reading /proc/meminfo"))?;
    if mib == 0 || mib > host {
        return Err(KvmError::Memory { asked: mib, host });
    }
    if let Some(free) = mib_of(&text, "MemAvailable:").filter(|free| mib > *free) {
        tracing::warn!(
            asked = mib,
            free,
            "the guest may use more MiB than the host has free"
        );
    }
    Ok(())
}

/// What a line of `/proc/meminfo` says, in MiB.
fn mib_of(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuestMemory as _;

    #[test]
    fn both_mappings_show_the_same_memory() {
        let ram = Ram::new(2).unwrap();
        let other = ram.map().unwrap();
        ram.alias.write_at(0x1234, &[1, 2, 3]).unwrap();
        let mut bytes = [0; 3];
        other.read_at(0x1234, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3]);
        ram.clear().unwrap();
        other.read_at(0x1234, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 3]);
        assert_eq!(ram.alias.end(), 2 * MIB);
    }

    #[test]
    fn memory_goes_around_the_hole() {
        let blocks: Vec<_> = blocks(4 << 30).collect();
        assert_eq!(blocks, [(0, HOLE, 0), (ABOVE_HOLE, 1 << 30, HOLE)]);
    }

    #[test]
    fn a_vm_larger_than_the_host_is_refused_by_name() {
        let error = Ram::new(u64::MAX / MIB).err().unwrap().to_string();
        assert!(error.contains("of memory here"), "{error}");
        assert!(matches!(
            Ram::new(0),
            Err(KvmError::Memory { asked: 0, .. })
        ));
    }
}
