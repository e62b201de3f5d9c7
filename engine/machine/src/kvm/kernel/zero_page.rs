//! What a bzImage is told (Linux, `Documentation/arch/x86/boot.rst`, "64-bit boot protocol").

use linux_loader::{
    configurator::{BootConfigurator as _, BootParams, linux::LinuxBootConfigurator},
    loader::bootparam::{boot_e820_entry, boot_params, setup_header},
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::layout::{COMMAND_LINE, Module, ZERO_PAGE, usable};

/// A boot loader without a number of its own.
const LOADER: u8 = 0xff;
const RAM: u32 = 1;

/// Writes the zero page.
pub(super) fn tell(
    memory: &GuestMemoryMmap<()>,
    header: setup_header,
    module: Option<Module>,
    command_line: usize,
) -> Result<(), String> {
    let mut page = boot_params {
        hdr: header,
        ..Default::default()
    };
    page.hdr.type_of_loader = LOADER;
    page.hdr.cmd_line_ptr = low(COMMAND_LINE)?;
    page.hdr.cmdline_size = u32::try_from(command_line).map_err(|error| error.to_string())?;
    if let Some(module) = module {
        page.hdr.ramdisk_image = low(module.start)?;
        page.hdr.ramdisk_size = low(module.size)?;
    }
    let ranges = usable(memory);
    for (entry, range) in page.e820_table.iter_mut().zip(&ranges) {
        *entry = boot_e820_entry {
            addr: range.start,
            size: range.size,
            r#type: RAM,
        };
    }
    page.e820_entries = u8::try_from(ranges.len()).unwrap_or(0);
    let params = BootParams::new(&page, GuestAddress(ZERO_PAGE));
    LinuxBootConfigurator::write_bootparams(&params, memory).map_err(|error| error.to_string())
}

fn low(number: u64) -> Result<u32, String> {
    u32::try_from(number).map_err(|_| format!("{number:#x} does not fit into 32 bits"))
}
