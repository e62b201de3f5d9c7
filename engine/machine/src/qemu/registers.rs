//! Registers as QEMU's stub and monitor show them, and as the engine has them.

use oriel_protocol::x86::{Control, General, Register, Special, msr};

use super::{layout::Layout, segments};

const CR0_PE: u64 = 1;
const EFER_LMA: u64 = 1 << 10;

/// What a vCPU's local APIC is at after reset, enabled; the first vCPU is the bootstrap one (SDM
/// vol. 3, section 11.4.4). QEMU says nowhere where it is, and Linux leaves it there.
const APIC_BASE: u64 = 0xfee0_0800;
const APIC_BOOTSTRAP: u64 = 1 << 8;

/// The stub's name of each general register.
pub(super) const GENERAL: [(Register, &str); 18] = [
    (Register::Rax, "rax"),
    (Register::Rbx, "rbx"),
    (Register::Rcx, "rcx"),
    (Register::Rdx, "rdx"),
    (Register::Rsi, "rsi"),
    (Register::Rdi, "rdi"),
    (Register::Rsp, "rsp"),
    (Register::Rbp, "rbp"),
    (Register::R8, "r8"),
    (Register::R9, "r9"),
    (Register::R10, "r10"),
    (Register::R11, "r11"),
    (Register::R12, "r12"),
    (Register::R13, "r13"),
    (Register::R14, "r14"),
    (Register::R15, "r15"),
    (Register::Rip, "rip"),
    (Register::Rflags, "eflags"),
];

/// The same of the control registers.
pub(super) const CONTROL: [(Register, &str); 8] = [
    (Register::Cr0, "cr0"),
    (Register::Cr2, "cr2"),
    (Register::Cr3, "cr3"),
    (Register::Cr4, "cr4"),
    (Register::Cr8, "cr8"),
    (Register::Efer, "efer"),
    (Register::FsBase, "fs_base"),
    (Register::GsBase, "gs_base"),
];

/// The stub's name of the MSRs that it shows.
pub(super) const fn msr_name(number: u32) -> Option<&'static str> {
    match number {
        msr::EFER => Some("efer"),
        msr::FS_BASE => Some("fs_base"),
        msr::GS_BASE => Some("gs_base"),
        msr::KERNEL_GS_BASE => Some("k_gs_base"),
        _ => None,
    }
}

/// The general registers in the bytes of `g`.
pub(super) fn general(layout: &Layout, all: &[u8]) -> Option<General> {
    let mut general = General::default();
    for (register, name) in GENERAL {
        *general.field(register)? = layout.value(all, name)?;
    }
    Some(general)
}

/// The control registers in the bytes of `g`.
pub(super) fn control(layout: &Layout, all: &[u8]) -> Option<Control> {
    let mut control = Control::default();
    for (register, name) in CONTROL {
        *control.field(register)? = layout.value(all, name)?;
    }
    Some(control)
}

/// Adds segments and tables, by the monitor's text.
pub(super) fn with_segments(text: &str, special: &mut Special) -> Option<()> {
    segments::read(text, special)
}

/// Adds where the local APIC is taken to be.
pub(super) const fn with_apic(vcpu: u32, special: &mut Special) {
    special.apic_base = APIC_BASE | if vcpu == 0 { APIC_BOOTSTRAP } else { 0 };
}

/// Whether a vCPU is in long mode. Code that is not of 64 bits has a base of 0 there too, in every
/// system of today.
pub(super) const fn is_long(efer: u64) -> bool {
    efer & EFER_LMA != 0
}

/// The privilege level: that of the code segment (SDM vol. 3, section 5.5).
pub(super) fn cpl(layout: &Layout, all: &[u8]) -> u8 {
    let protected = layout.value(all, "cr0").unwrap_or(CR0_PE) & CR0_PE != 0;
    let cs = layout.value(all, "cs").unwrap_or(0);
    if protected {
        u8::try_from(cs & 3).unwrap_or(0)
    } else {
        0
    }
}
