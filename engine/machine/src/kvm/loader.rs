//! Puts a flat image into memory and vCPUs into long mode, as `docs/guests.md` promises it.
//!
//! ```text
//!   0x1000   GDT: null, 64-bit code, data
//!   0x2000   page tables: identity, first 4 GiB, 2 MiB pages
//!   0x10000  stacks, one a vCPU
//!   0x100000 images, from here on
//! ```

use std::io;

use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::{Kvm, VcpuFd};
use oriel_protocol::{Gpa, Gva, Refusal};

use super::error::KvmError;
use crate::GuestMemory;

/// A flat image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where the first one goes.
    pub load: Gpa,
    /// Where every vCPU starts.
    pub entry: Gva,
}

pub(super) const GDT: Gpa = 0x1000;
const PML4: Gpa = 0x2000;
const PDPT: Gpa = 0x3000;
const PAGE_DIRECTORIES: Gpa = 0x4000;
const STACKS: Gpa = 0x1_0000;
const STACK: u64 = 0x2000;
/// Where images may begin.
pub(super) const FIRST_IMAGE: Gpa = 0x10_0000;

const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;
const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
/// Null, 64-bit code, data (SDM vol. 3, section 3.4.5).
const DESCRIPTORS: [u64; 3] = [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// PE, MP, ET, NE, WP, PG.
const CR0: u64 = 0x8001_0033;
/// PAE, OSFXSR, OSXMMEXCPT.
const CR4: u64 = 0x620;
/// SCE, LME, LMA, NXE.
const EFER: u64 = 0xd01;
/// Only the bit that is always set: interrupts are off.
const RFLAGS: u64 = 0b10;

impl Image {
    /// Whether the image fits behind the loader's tables into `end` bytes of memory.
    ///
    /// # Errors
    /// [`KvmError::Image`] if it does not.
    pub(super) fn check(&self, end: Gpa) -> Result<(), KvmError> {
        let last = self.load.checked_add(self.bytes.len() as u64);
        if self.load >= FIRST_IMAGE && last.is_some_and(|last| last <= end) {
            return Ok(());
        }
        let (bytes, load) = (self.bytes.len(), self.load);
        Err(KvmError::Image {
            bytes,
            load,
            first: FIRST_IMAGE,
            end,
        })
    }

    /// Writes the tables and the image into memory.
    pub(super) fn load(&self, memory: &dyn GuestMemory) -> Result<(), Refusal> {
        write_words(memory, GDT, DESCRIPTORS)?;
        write_identity_map(memory)?;
        memory.write_at(self.load, &self.bytes)
    }

    /// The general registers with which a vCPU starts.
    fn regs(&self, vcpu: u32, vcpus: u32) -> kvm_regs {
        kvm_regs {
            rip: self.entry,
            rdi: u64::from(vcpu),
            rsi: u64::from(vcpus),
            rsp: STACKS + (u64::from(vcpu) + 1) * STACK,
            rflags: RFLAGS,
            ..kvm_regs::default()
        }
    }
}

/// Writes page tables that map the first 4 GiB where they are.
pub(super) fn write_identity_map(memory: &dyn GuestMemory) -> Result<(), Refusal> {
    write_words(memory, PML4, [PDPT | PRESENT_WRITABLE])?;
    let directories = (0..4).map(|gib| (PAGE_DIRECTORIES + gib * 0x1000) | PRESENT_WRITABLE);
    write_words(memory, PDPT, directories)?;
    let pages = (0..4 * 512).map(|page| (page << 21) | LARGE | PRESENT_WRITABLE);
    write_words(memory, PAGE_DIRECTORIES, pages)
}

pub(super) fn write_words(
    memory: &dyn GuestMemory,
    at: Gpa,
    words: impl IntoIterator<Item = u64>,
) -> Result<(), Refusal> {
    let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
    memory.write_at(at, &bytes)
}

/// Gives a vCPU of so many its features and its first registers.
pub(super) fn prepare(
    kvm: &Kvm,
    vcpu: &VcpuFd,
    image: &Image,
    index: u32,
    vcpus: u32,
) -> io::Result<()> {
    set_features(kvm, vcpu, index)?;
    let mut sregs = vcpu.get_sregs()?;
    enter_long_mode(&mut sregs);
    vcpu.set_sregs(&sregs)?;
    Ok(vcpu.set_regs(&image.regs(index, vcpus))?)
}

/// Gives a vCPU its features: all that this KVM supports.
pub(super) fn set_features(kvm: &Kvm, vcpu: &VcpuFd, index: u32) -> io::Result<()> {
    let mut cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    number(cpuid.as_mut_slice(), index);
    Ok(vcpu.set_cpuid2(&cpuid)?)
}

/// Puts the vCPU's number where CPUID shows it: the initial APIC id of leaf 1 and the x2APIC id
/// of leaves 0xb and 0x1f.
fn number(entries: &mut [kvm_cpuid_entry2], index: u32) {
    for entry in entries {
        match entry.function {
            1 => entry.ebx = entry.ebx & 0x00ff_ffff | index << 24,
            0xb | 0x1f => entry.edx = index,
            _ => {}
        }
    }
}

/// Puts system registers into long mode, at privilege level 0.
fn enter_long_mode(sregs: &mut kvm_sregs) {
    long_mode(sregs);
    (sregs.gdt.base, sregs.gdt.limit) = (GDT, 8 * 3 - 1);
    (sregs.idt.base, sregs.idt.limit) = (0, 0);
    sregs.cs = segment(CODE, 0xb, true);
    for data in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *data = segment(DATA, 0x3, false);
    }
}

/// Turns long mode on, with the loader's page tables.
pub(super) const fn long_mode(sregs: &mut kvm_sregs) {
    (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (CR0, PML4, CR4, EFER);
}

/// A flat segment; `long` for 64-bit code.
pub(super) fn segment(selector: u16, type_: u8, long: bool) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        db: u8::from(!long),
        s: 1,
        l: u8::from(long),
        g: 1,
        ..kvm_segment::default()
    }
}

#[cfg(test)]
mod tests {
    use oriel_protocol::x86::Special;
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    use super::*;
    use crate::paging::{Mode, translate};

    fn memory() -> GuestMemoryMmap<()> {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x20_0000)]).unwrap()
    }

    #[test]
    fn the_first_four_gigabytes_are_where_they_are() {
        let memory = memory();
        let image = Image {
            bytes: vec![0x90],
            load: FIRST_IMAGE,
            entry: FIRST_IMAGE,
        };
        image.load(&memory).unwrap();
        let special = Special {
            cr0: CR0,
            cr3: PML4,
            cr4: CR4,
            efer: EFER,
            ..Default::default()
        };
        for address in [0, 0x10_0000, 0xd000_1234, 0xffff_ffff] {
            let there = translate(&memory, Mode::of(&special), PML4, address).unwrap();
            assert_eq!(there.gpa, address);
            assert!(there.writable && there.executable);
        }
        assert!(translate(&memory, Mode::of(&special), PML4, 1 << 32).is_err());
    }

    #[test]
    fn every_vcpu_has_its_number_and_a_stack_of_its_own() {
        let image = Image::default();
        let tops: Vec<_> = (0..64).map(|vcpu| image.regs(vcpu, 64).rsp).collect();
        assert!(tops.windows(2).all(|pair| pair[1] - pair[0] == STACK));
        assert_eq!(tops.last(), Some(&0x9_0000));
        assert_eq!((image.regs(3, 64).rdi, image.regs(3, 64).rsi), (3, 64));
    }

    #[test]
    fn an_image_lies_between_the_tables_and_the_end() {
        let image = |load, length| Image {
            bytes: vec![0; length],
            load,
            entry: load,
        };
        assert!(image(FIRST_IMAGE, 0x1000).check(0x10_1000).is_ok());
        assert!(image(FIRST_IMAGE, 0x1001).check(0x10_1000).is_err());
        assert!(image(0x1000, 1).check(0x10_1000).is_err());
        let error = image(u64::MAX, 2).check(0x10_1000).unwrap_err().to_string();
        assert!(error.contains("give the VM more memory"), "{error}");
    }
}
