//! The state of a vCPU as events carry it, and the registers as GET_REGISTERS answers them. It
//! owns the layout of these big structs (`kvm_regs`, `kvm_sregs` of the x86 ABI); where the values
//! come from is the machine's business.

use crate::x86::{General, Special, msr};

/// A vCPU's registers at an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// General registers.
    pub general: General,
    /// Special registers.
    pub special: Special,
    /// The values of the MSRs in [`Snapshot::MSRS`], in that order.
    pub msrs: [u64; 9],
    /// The view in use; only v7 carries it.
    pub view: u16,
}

impl Snapshot {
    /// Which MSRs an event carries, by number.
    pub const MSRS: [u32; 9] = [
        msr::SYSENTER_CS,
        msr::SYSENTER_ESP,
        msr::SYSENTER_EIP,
        msr::EFER,
        msr::STAR,
        msr::LSTAR,
        msr::CSTAR,
        msr::PAT,
        msr::KERNEL_GS_BASE,
    ];

    /// Bytes on the wire.
    pub const SIZE: usize = 536;
}
