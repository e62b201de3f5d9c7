//! The registers with which a kernel's first vCPU starts.

use std::io;

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;
use oriel_protocol::Refusal;
use vm_memory::GuestMemoryMmap;

use super::{
    Kernel,
    layout::{FIRST_KERNEL, START_INFO, ZERO_PAGE},
    shape::Shape,
};
use crate::kvm::loader::{self, GDT};

/// `__BOOT_CS` and `__BOOT_DS`, and a task state segment behind them.
const CODE: u16 = 0x10;
const DATA: u16 = 0x18;
const TASK: u16 = 0x20;
/// Null, null, 64-bit code, data (SDM vol. 3, section 3.4.5).
const DESCRIPTORS: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
/// PE and ET.
const CR0_PROTECTED: u64 = 0x11;
/// Only the bit that is always set: interrupts are off.
const RFLAGS: u64 = 0b10;
/// A bzImage's 64-bit entry, behind its first byte.
const ENTRY_64: u64 = 0x200;
const ACCESSED_CODE: u8 = 0xb;
const ACCESSED_DATA: u8 = 0x3;
const BUSY_TASK: u8 = 0xb;
const TASK_LIMIT: u32 = 0x67;

/// Writes the descriptors and page tables of a bzImage's start.
pub(super) fn write_tables(memory: &GuestMemoryMmap<()>) -> Result<(), Refusal> {
    loader::write_words(memory, GDT, DESCRIPTORS)?;
    loader::write_identity_map(memory)
}

impl Kernel {
    /// Puts the first vCPU where the kernel wants to be entered.
    pub(in crate::kvm) fn start(&self, vcpu: &VcpuFd) -> io::Result<()> {
        let mut sregs = vcpu.get_sregs()?;
        let mut regs = kvm_regs {
            rflags: RFLAGS,
            ..kvm_regs::default()
        };
        match self.shape {
            Shape::Elf { entry, .. } => {
                protected_mode(&mut sregs);
                (regs.rip, regs.rbx) = (entry, START_INFO);
            }
            Shape::BzImage { .. } => {
                loader::long_mode(&mut sregs);
                flat_segments(&mut sregs, true);
                (sregs.gdt.base, sregs.gdt.limit) = (GDT, 8 * 4 - 1);
                (regs.rip, regs.rsi) = (FIRST_KERNEL + ENTRY_64, ZERO_PAGE);
            }
        }
        vcpu.set_sregs(&sregs)?;
        Ok(vcpu.set_regs(&regs)?)
    }
}

/// As PVH says: 32 bits, flat, without paging.
fn protected_mode(sregs: &mut kvm_sregs) {
    (sregs.cr0, sregs.cr4, sregs.efer) = (CR0_PROTECTED, 0, 0);
    flat_segments(sregs, false);
    sregs.tr = kvm_segment {
        limit: TASK_LIMIT,
        selector: TASK,
        type_: BUSY_TASK,
        present: 1,
        ..kvm_segment::default()
    };
}

fn flat_segments(sregs: &mut kvm_sregs, long: bool) {
    sregs.cs = loader::segment(CODE, ACCESSED_CODE, long);
    for data in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *data = loader::segment(DATA, ACCESSED_DATA, false);
    }
}
