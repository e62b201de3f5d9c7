//! Which MSRs may be filtered, and the checks that a guest's write gets and a host's does not.
//!
//! An allowed WRMSR is carried out with `KVM_SET_MSRS`. To KVM that is a write by the host, who
//! may do more than a guest (`kvm_set_msr_common`, `set_efer` and their vendors' parts take
//! `host_initiated`). So the guest's checks are made here first, for every MSR whose rules are
//! known; an MSR whose host write *means* something else is not filtered at all.

use kvm_bindings::kvm_cpuid_entry2;
use oriel_protocol::x86::msr;

mod foreign;

pub use foreign::Foreign;

/// IA32_MISC_ENABLE.
pub(super) const MISC_ENABLE: u32 = 0x1a0;

const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;
const EFER_SVME: u64 = 1 << 12;
const EFER_FFXSR: u64 = 1 << 14;
const EFER_AUTOIBRS: u64 = 1 << 21;

/// BTS and PEBS are unavailable: read-only to a guest.
const MISC_ENABLE_READ_ONLY: u64 = 1 << 11 | 1 << 12;
/// Enhanced-monitoring: a guest's write of it is ignored.
const MISC_ENABLE_IGNORED: u64 = 1 << 7;

/// A write or read that faults with #GP(0) in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults;

/// How an MSR is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A guest's write and a host's are the same to KVM, and what is written is what it holds.
    Exact,
    /// The same, but KVM may hold something else than was written (sign-extended, shortened).
    Adjusted,
    /// A linear address.
    Address,
    /// EFER.
    Efer,
    /// IA32_MISC_ENABLE.
    MiscEnable,
    /// IA32_TSC_AUX.
    TscAux,
    /// Not in any table here; it may not exist.
    Unknown,
}

/// How this MSR is treated.
///
/// # Errors
/// Why it cannot be filtered.
pub const fn class(number: u32) -> Result<Class, Foreign> {
    Ok(match number {
        // PAT's types are checked for host and guest alike (`kvm_pat_valid`).
        msr::STAR | msr::SFMASK | msr::PAT => Class::Exact,
        msr::SYSENTER_CS | msr::SYSENTER_ESP | msr::SYSENTER_EIP => Class::Adjusted,
        // Variable and fixed MTRRs and their default: `kvm_mtrr_set_msr` asks nobody who writes.
        0x200..=0x20f | 0x250 | 0x258 | 0x259 | 0x268..=0x26f | 0x2ff => Class::Adjusted,
        msr::LSTAR | msr::CSTAR | msr::FS_BASE | msr::GS_BASE | msr::KERNEL_GS_BASE => {
            Class::Address
        }
        msr::EFER => Class::Efer,
        MISC_ENABLE => Class::MiscEnable,
        msr::TSC_AUX => Class::TscAux,
        other => match Foreign::of(other) {
            Some(reason) => return Err(reason),
            None => Class::Unknown,
        },
    })
}

/// What a guest's processor has, as far as the rules ask, and one habit of KVM's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the features'")]
pub struct Features {
    pub long_mode: bool,
    pub no_execute: bool,
    pub svm: bool,
    pub fast_fxsave: bool,
    pub automatic_ibrs: bool,
    pub rdtscp_or_rdpid: bool,
    pub five_level_paging: bool,
    /// KVM keeps a guest from writing the read-only bits of IA32_MISC_ENABLE (Linux 6.0 and
    /// later, on VMX and SVM). CPUID does not say; [`super::probe`] does.
    pub guarded_misc_enable: bool,
}

impl Features {
    /// The features that these CPUID entries announce.
    pub fn of(entries: &[kvm_cpuid_entry2]) -> Self {
        let leaf = |function| {
            let found = entries
                .iter()
                .find(|entry| entry.function == function && entry.index == 0);
            found.copied().unwrap_or_default()
        };
        let (seven, extended, newest) = (leaf(7), leaf(0x8000_0001), leaf(0x8000_0021));
        let bit = |word: u32, bit: u32| word & (1 << bit) != 0;
        Self {
            long_mode: bit(extended.edx, 29),
            no_execute: bit(extended.edx, 20),
            svm: bit(extended.ecx, 2),
            fast_fxsave: bit(extended.edx, 25),
            automatic_ibrs: bit(newest.eax, 8),
            rdtscp_or_rdpid: bit(extended.edx, 27) || bit(seven.ecx, 22),
            five_level_paging: bit(seven.ecx, 16),
            guarded_misc_enable: true,
        }
    }
}

/// What a write meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// What the MSR holds.
    pub old: u64,
    /// CR0.PG is set.
    pub paging: bool,
}

/// What the host is to write where the guest writes `value`.
///
/// # Errors
/// [`Faults`] where the guest's write would; KVM's own checks of a host's write come on top.
pub fn host_value(class: Class, value: u64, has: Features, now: Now) -> Result<u64, Faults> {
    match class {
        Class::Exact | Class::Adjusted | Class::Unknown => Ok(value),
        Class::Address if is_canonical(value, has) => Ok(value),
        Class::TscAux if has.rdtscp_or_rdpid => Ok(value),
        Class::Address | Class::TscAux => Err(Faults),
        Class::Efer => efer(value, has, now),
        Class::MiscEnable if has.guarded_misc_enable => misc_enable(value, now.old),
        Class::MiscEnable => Ok(value),
    }
}

/// Whether a guest may read the MSR, as far as KVM asks a guest and not a host.
pub const fn is_readable(class: Class, has: Features) -> bool {
    !matches!(class, Class::TscAux) || has.rdtscp_or_rdpid
}

/// MSRs take any address that is canonical for the widest paging that the processor has, whatever
/// paging is on (SDM vol. 1, section 3.3.7.1).
const fn is_canonical(address: u64, has: Features) -> bool {
    let unused = if has.five_level_paging {
        64 - 57
    } else {
        64 - 48
    };
    (address.cast_signed() << unused >> unused).cast_unsigned() == address
}

/// `set_efer` and `__kvm_valid_efer` of KVM: bits need their feature, and LME cannot change under
/// paging. LMA is hardware's: KVM keeps it as it is.
fn efer(value: u64, has: Features, now: Now) -> Result<u64, Faults> {
    let needs = [
        (EFER_LME | EFER_LMA, has.long_mode),
        (EFER_NXE, has.no_execute),
        (EFER_SVME, has.svm),
        (EFER_FFXSR, has.fast_fxsave),
        (EFER_AUTOIBRS, has.automatic_ibrs),
    ];
    let lacks = needs.iter().any(|(bits, has)| value & bits != 0 && !has);
    let toggles_long_mode = now.paging && (value ^ now.old) & EFER_LME != 0;
    if lacks || toggles_long_mode {
        Err(Faults)
    } else {
        Ok(value)
    }
}

const fn misc_enable(value: u64, old: u64) -> Result<u64, Faults> {
    if (value ^ old) & MISC_ENABLE_READ_ONLY != 0 {
        return Err(Faults);
    }
    Ok(value & !MISC_ENABLE_IGNORED | old & MISC_ENABLE_IGNORED)
}

/// What EFER holds after this was written: LMA stays.
pub(super) const fn efer_after(value: u64, old: u64) -> u64 {
    value & !EFER_LMA | old & EFER_LMA
}

#[cfg(test)]
mod tests;
