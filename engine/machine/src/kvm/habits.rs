//! What one KVM does in its own way. Found out by [`super::probe`], looked at wherever it matters.

/// How this KVM behaves where the KVM API leaves it open, or where a KVM falls short of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// At the exit for an OUT the instruction pointer is behind it. VMX and SVM leave it at the
    /// instruction until the vCPU enters again; KVM's emulator does not.
    pub output_retires: bool,
    /// A guest's write to the read-only bits of IA32_MISC_ENABLE faults. VMX and SVM see to that.
    pub guarded_misc_enable: bool,
    /// `KVM_GUESTDBG_SINGLESTEP` stops 64-bit kernel code after each instruction.
    pub steps: bool,
    /// It stops 64-bit user code too.
    pub steps_user: bool,
    /// An INT3 of 64-bit kernel code comes out: as `KVM_EXIT_DEBUG` with `KVM_GUESTDBG_USE_SW_BP`,
    /// or as an instruction that KVM cannot emulate.
    pub breaks: bool,
    /// One of 64-bit user code does too.
    pub breaks_user: bool,
    /// #BP that is injected at an INT3 pushes the address behind it. VMX and SVM see to that.
    pub bp_adds_length: bool,
    /// A store of kernel code to a protected page comes out as `KVM_EXIT_MMIO`, behind its
    /// instruction. VMX and SVM give EFAULT, at it; KVM's emulator does not.
    pub stores_retire: bool,
    /// `KVM_GUESTDBG_USE_HW_BP` stops 64-bit kernel code at an address in a debug register.
    pub code_points: bool,
    /// It stops 64-bit user code too.
    pub code_points_user: bool,
    /// It stops 64-bit kernel code behind an access that a debug register watches for.
    pub data_points: bool,
    /// It stops 64-bit user code too.
    pub data_points_user: bool,
    /// `KVM_GUESTDBG_BLOCKIRQ` keeps interrupts away meanwhile.
    pub holds_interrupts: bool,
}

impl Habits {
    /// The habits of KVM on hardware.
    pub const VMX_AND_SVM: Self = Self {
        output_retires: false,
        guarded_misc_enable: true,
        steps: true,
        steps_user: true,
        breaks: true,
        breaks_user: true,
        bp_adds_length: true,
        stores_retire: false,
        code_points: true,
        code_points_user: true,
        data_points: true,
        data_points_user: true,
        holds_interrupts: true,
    };
}
