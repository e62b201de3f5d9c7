//! What a kernel that is entered by PVH is told (Xen, `docs/misc/pvh.pandoc`).

use linux_loader::{
    configurator::{BootConfigurator as _, BootParams, pvh::PvhBootConfigurator},
    loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info},
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::layout::{COMMAND_LINE, MEMORY_MAP, MODULES, Module, START_INFO, usable};

const MAGIC: u32 = 0x336e_c578;
/// The first with a memory map.
const VERSION: u32 = 1;
const RAM: u32 = 1;

/// Writes the start info, with the initramfs as its module if there is one.
pub(super) fn tell(memory: &GuestMemoryMmap<()>, module: Option<Module>) -> Result<(), String> {
    let map: Vec<_> = usable(memory)
        .into_iter()
        .map(|range| hvm_memmap_table_entry {
            addr: range.start,
            size: range.size,
            type_: RAM,
            reserved: 0,
        })
        .collect();
    let modules: Vec<_> = module
        .map(|module| hvm_modlist_entry {
            paddr: module.start,
            size: module.size,
            ..Default::default()
        })
        .into_iter()
        .collect();
    let info = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        nr_modules: u32::from(module.is_some()),
        modlist_paddr: module.map_or(0, |_| MODULES),
        cmdline_paddr: COMMAND_LINE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: u32::try_from(map.len()).unwrap_or(0),
        ..Default::default()
    };
    let mut params = BootParams::new(&info, GuestAddress(START_INFO));
    params.set_sections(&map, GuestAddress(MEMORY_MAP));
    params.set_modules(&modules, GuestAddress(MODULES));
    PvhBootConfigurator::write_bootparams(&params, memory).map_err(|error| error.to_string())
}
