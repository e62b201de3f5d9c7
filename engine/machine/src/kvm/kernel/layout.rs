//! Where what a kernel is told lies, and which memory it is told of.

use vm_memory::GuestMemoryMmap;

use crate::{GuestMemory as _, kvm::program::low_end};

/// The zero page (Linux, `Documentation/arch/x86/zero-page.rst`).
pub(super) const ZERO_PAGE: u64 = 0x8000;
/// The start info of PVH, its modules, and its memory map.
pub(super) const START_INFO: u64 = 0x9000;
pub(super) const MODULES: u64 = 0x9080;
pub(super) const MEMORY_MAP: u64 = 0x9100;
/// The command line.
pub(super) const COMMAND_LINE: u64 = 0x2_0000;
/// `COMMAND_LINE_SIZE` of x86, with the NUL at its end.
pub(super) const COMMAND_LINE_MAX: usize = 2048;
/// The end of a string.
pub(super) const NULL: &[u8] = &[0];
/// Kernels lie above what the loader and firmware tables take.
pub(super) const FIRST_KERNEL: u64 = 0x10_0000;
/// From here to 1 MiB, firmware would have its tables.
const FIRMWARE: u64 = 0x9_fc00;
const ABOVE_HOLE: u64 = 1 << 32;

/// An initramfs in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) start: u64,
    pub(super) size: u64,
}

/// A range of memory that a kernel may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usable {
    pub(super) start: u64,
    pub(super) size: u64,
}

/// What of memory a kernel may use.
pub(super) fn usable(memory: &GuestMemoryMmap<()>) -> Vec<Usable> {
    let (low, end) = (low_end(memory), memory.end());
    [(0, FIRMWARE), (FIRST_KERNEL, low), (ABOVE_HOLE, end)]
        .into_iter()
        .filter(|(start, end)| end > start)
        .map(|(start, end)| Usable {
            start,
            size: end - start,
        })
        .collect()
}

/// Bytes in MiB, rounded up.
pub(super) const fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
