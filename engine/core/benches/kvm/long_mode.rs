//! A guest in 64 bits, in kernel or in user mode, that stores to one page for ever.

use anyhow::Result;
use kvm_bindings::{kvm_regs, kvm_segment};
use vm_memory::{Bytes as _, GuestAddress};

use crate::vmm::{ENTRY, Vmm};

/// `out 0x80, al; mov [rbx], rax; jmp` to the store.
const CODE: &[u8] = &[0xe6, 0x80, 0x48, 0x89, 0x03, 0xeb, 0xfb];
/// Where the store is, and how long.
pub(crate) const STORE: u64 = ENTRY + 2;
pub(crate) const STORE_LENGTH: u64 = 3;
/// Its first byte.
pub(crate) const STORE_BYTE: u8 = 0x48;
/// The page it goes to.
pub(crate) const PAGE: u64 = 0x10_0000;

const TABLES: [u64; 3] = [0x2000, 0x3000, 0x4000];
const PRESENT_WRITABLE_USER: u64 = 0b111;
const LARGE: u64 = 1 << 7;
/// PE, MP, ET, NE, WP, PG; PAE, OSFXSR, OSXMMEXCPT; LME, LMA.
const CONTROL: (u64, u64, u64) = (0x8001_0033, 0x620, 0x500);
/// Interrupts off, ports open to user mode.
const RFLAGS: u64 = 0x3002;

/// Where the guest runs.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Kernel,
    User,
}

impl Mode {
    const fn level(self) -> u8 {
        match self {
            Self::Kernel => 0,
            Self::User => 3,
        }
    }
}

/// A VM with it, behind its first instruction once it has run for one exit.
pub(crate) fn vmm(mode: Mode) -> Result<Vmm> {
    let vmm = Vmm::new(CODE)?;
    let [pml4, pdpt, directory] = TABLES;
    let write = |at: u64, word: u64| vmm.alias.write_obj(word, GuestAddress(at));
    write(pml4, pdpt | PRESENT_WRITABLE_USER)?;
    write(pdpt, directory | PRESENT_WRITABLE_USER)?;
    for page in 0..8 {
        write(
            directory + page * 8,
            (page << 21) | LARGE | PRESENT_WRITABLE_USER,
        )?;
    }
    let mut sregs = vmm.vcpu.get_sregs()?;
    (sregs.cr0, sregs.cr4, sregs.efer) = CONTROL;
    sregs.cr3 = pml4;
    let level = mode.level();
    sregs.cs = segment(0x08, 0xb, level);
    for data in [&mut sregs.ds, &mut sregs.es, &mut sregs.ss] {
        *data = segment(0x10, 0x3, level);
    }
    vmm.vcpu.set_sregs(&sregs)?;
    vmm.vcpu.set_regs(&kvm_regs {
        rip: ENTRY,
        rbx: PAGE,
        rsp: PAGE,
        rflags: RFLAGS,
        ..Default::default()
    })?;
    Ok(vmm)
}

fn segment(selector: u16, type_: u8, level: u8) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector: selector | u16::from(level),
        type_,
        present: 1,
        dpl: level,
        db: u8::from(type_ == 0x3),
        s: 1,
        l: u8::from(type_ == 0xb),
        g: 1,
        ..Default::default()
    }
}
