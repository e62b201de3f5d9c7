//! A Linux kernel: a vmlinux, entered as PVH says, or a bzImage, entered as the 64-bit boot protocol
//! says; with its initramfs and its command line.
//!
//! ```text
//!   0x1000    GDT                      0x8000   zero page (bzImage)
//!   0x2000    page tables (bzImage)    0x9000   start info, modules, memory map (PVH)
//!   0x20000   command line             0xf0000  MP table: where the APICs are
//!   1 MiB …   the kernel, where it says
//!   … end     the initramfs, as high as it may lie
//! ```
//! Nothing here runs it: [`super::program`] is what a VM is made from.

mod error;
mod layout;
mod mp_table;
mod pvh;
mod shape;
mod start;
mod zero_page;

use std::{
    io::Cursor,
    path::{Path, PathBuf},
};

use linux_loader::loader::{BzImage, Elf, KernelLoader as _, KernelLoaderResult};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};

pub use error::KernelError;
use layout::{COMMAND_LINE, COMMAND_LINE_MAX, Module, NULL};
use shape::Shape;

/// A kernel, read and recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    file: PathBuf,
    bytes: Vec<u8>,
    shape: Shape,
    initrd: Option<Vec<u8>>,
    command_line: Vec<u8>,
}

impl Kernel {
    /// What a kernel is told where nothing else is said: to speak over the serial line, and to end
    /// the VM, by a triple fault, when it panics or reboots.
    pub const COMMAND_LINE: &str = "console=ttyS0 reboot=t panic=-1";

    /// Reads a kernel, and an initramfs if there is one.
    ///
    /// # Errors
    /// [`KernelError`] names the file, and what to do about it.
    pub fn read(
        file: &Path,
        initrd: Option<&Path>,
        command_line: &str,
    ) -> Result<Self, KernelError> {
        let bytes = read(file)?;
        let shape = Shape::of(&bytes, file)?;
        let initrd = initrd.map(read).transpose()?;
        let command_line = command_line.as_bytes().to_vec();
        if command_line.len() >= COMMAND_LINE_MAX {
            let (length, most) = (command_line.len(), COMMAND_LINE_MAX - 1);
            return Err(KernelError::CommandLine { length, most });
        }
        if command_line.contains(&0) {
            return Err(KernelError::CommandLineBytes);
        }
        Ok(Self {
            file: file.to_owned(),
            bytes,
            shape,
            initrd,
            command_line,
        })
    }

    /// Whether these bytes are a kernel's, as far as their magic numbers say.
    pub fn is_one(bytes: &[u8]) -> bool {
        Shape::has_magic(bytes)
    }

    /// Brings the kernel, its initramfs and all that it is told into memory.
    pub(super) fn load(&self, memory: &GuestMemoryMmap<()>, vcpus: u32) -> Result<(), KernelError> {
        let module = self.place_initrd(memory)?;
        let loaded = self.load_image(memory)?;
        if let (Some(module), Some(initrd)) = (module, &self.initrd) {
            self.write(memory, module.start, initrd)?;
        }
        self.write(
            memory,
            COMMAND_LINE,
            &[&self.command_line[..], NULL].concat(),
        )?;
        self.write(memory, mp_table::PLACE, &mp_table::bytes(vcpus))?;
        let told = match (&self.shape, loaded.setup_header) {
            (Shape::Elf { .. }, _) => pvh::tell(memory, module),
            (Shape::BzImage { .. }, Some(header)) => start::write_tables(memory)
                .map_err(|refusal| refusal.to_string())
                .and_then(|()| zero_page::tell(memory, header, module, self.command_line.len())),
            (Shape::BzImage { .. }, None) => Err("it has no setup header".to_owned()),
        };
        told.map_err(|reason| self.broken(reason))
    }

    fn load_image(&self, memory: &GuestMemoryMmap<()>) -> Result<KernelLoaderResult, KernelError> {
        let mut image = Cursor::new(&self.bytes);
        let lowest = Some(GuestAddress(layout::FIRST_KERNEL));
        let loaded = match self.shape {
            Shape::Elf { .. } => Elf::load(memory, None, &mut image, lowest),
            Shape::BzImage { .. } => BzImage::load(memory, None, &mut image, lowest),
        };
        loaded.map_err(|error| self.broken(error.to_string()))
    }

    /// Where the initramfs goes: as high as it may, behind the kernel.
    fn place_initrd(&self, memory: &GuestMemoryMmap<()>) -> Result<Option<Module>, KernelError> {
        let (needs, end) = (self.shape.end(), super::program::low_end(memory));
        let size = self.initrd.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let top = end.min(self.shape.initrd_end());
        let start = top.checked_sub(size).map(|start| start & !0xfff);
        match start {
            Some(start) if start >= needs && needs <= end => {
                let module = Module { start, size };
                Ok(self.initrd.is_some().then_some(module))
            }
            Some(_) | None => Err(KernelError::TooLarge {
                file: self.file.clone(),
                needs_mib: layout::mib(needs.saturating_add(size).saturating_add(0xfff)),
                memory_mib: end >> 20,
            }),
        }
    }

    fn write(
        &self,
        memory: &GuestMemoryMmap<()>,
        at: u64,
        bytes: &[u8],
    ) -> Result<(), KernelError> {
        let written = memory.write_slice(bytes, GuestAddress(at));
        written.map_err(|error| self.broken(error.to_string()))
    }

    fn broken(&self, reason: String) -> KernelError {
        let file = self.file.clone();
        KernelError::Broken { file, reason }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, KernelError> {
    let bytes = std::fs::read(file).map_err(|source| KernelError::Read {
        file: file.to_owned(),
        source,
    })?;
    if bytes.is_empty() {
        return Err(KernelError::Empty {
            file: file.to_owned(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
