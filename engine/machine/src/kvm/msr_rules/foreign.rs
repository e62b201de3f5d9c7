//! MSRs that are not filtered, and why not: for writes, and for reads.
//!
//! A judged RDMSR is answered with what `KVM_GET_MSRS` says, which is a read by the host. KVM shows
//! a host what it hides from a guest whose CPUID lacks the feature (`kvm_get_msr_common` and its
//! vendors' parts ask `host_initiated` for SMBASE, PLATFORM_INFO, SPEC_CTRL and many more), and zero
//! for any MSR that it lists and does not have. Of some of these MSRs a host reads the same as the
//! guest (APIC_BASE, the microcode's revision, the banks of machine checks); they are too few to
//! have rules for reads alone.

pub(super) const IA32_TSC: u32 = 0x10;
pub(super) const APIC_BASE: u32 = 0x1b;

/// What an MSR belongs to that cannot be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// The time-stamp counter, and the deadline that is set by it.
    Clock,
    /// The local APIC's own place and mode.
    ApicBase,
    /// The registers of an x2APIC.
    X2apic,
    /// KVM's own clock, and what else it offers.
    Kvm,
    /// KVM's Hyper-V interface.
    HyperV,
    /// What the processor can do.
    Features,
    /// Speculation.
    Speculation,
    /// Machine checks.
    MachineChecks,
    /// Performance counters.
    Counters,
    /// Other features of the processor.
    Processor,
}

impl Foreign {
    /// What this MSR belongs to, if it cannot be filtered.
    pub(super) const fn of(number: u32) -> Option<Self> {
        Some(match number {
            IA32_TSC | 0x3b | 0x6e0 | 0xc000_0104 => Self::Clock,
            APIC_BASE => Self::ApicBase,
            0x800..=0x8ff => Self::X2apic,
            0x11 | 0x12 | 0x4b56_4d00..=0x4b56_4dff => Self::Kvm,
            0x4000_0000..=0x4000_ffff => Self::HyperV,
            0x3a | 0x8b..=0x8f | 0xce | 0x10a | 0x140 | 0x345 | 0x480..=0x493 | 0xc001_1029 => {
                Self::Features
            }
            0x48 | 0x49 | 0x10b | 0x122 | 0xc001_011f => Self::Speculation,
            0x179..=0x17b | 0x280..=0x29f | 0x400..=0x47f | 0x4d0 => Self::MachineChecks,
            0xc1..=0xc8 | 0x186..=0x18d | 0x309..=0x30b | 0x38d..=0x390 | 0x3f1 | 0x4c1..=0x4c8 => {
                Self::Counters
            }
            0xc001_0000..=0xc001_0007 | 0xc001_0200..=0xc001_020b | 0xc000_0300..=0xc000_0302 => {
                Self::Counters
            }
            0x34 | 0x79 | 0x9e | 0x1d9 | 0x1c4 | 0x1c5 | 0xda0 | 0x6a0..=0x6a8 | 0xd90 | 0xe1 => {
                Self::Processor
            }
            _ => return None,
        })
    }

    /// Why a guest's write cannot be carried out as the guest's.
    pub const fn of_writes(self) -> &'static str {
        match self {
            Self::Clock => "a host's write sets the clock's offset, not its value",
            Self::ApicBase => "a host's write moves the APIC past the guest's rules",
            Self::X2apic => "KVM never filters x2APIC registers",
            Self::Kvm => "it belongs to KVM's own clock",
            Self::HyperV => "it belongs to KVM's Hyper-V interface",
            Self::Features => "a host's write sets what features the guest sees",
            Self::Speculation => "it controls speculation, by rules that depend on the processor",
            Self::MachineChecks => "a host's write to machine-check state injects errors",
            Self::Counters => "a host's write to a performance counter sets its offset",
            Self::Processor => {
                "its rules depend on features of the processor that are not checked here"
            }
        }
    }

    /// Why a guest's read cannot be answered as the guest's.
    pub const fn of_reads(self) -> &'static str {
        match self {
            Self::Clock | Self::Counters => {
                "it goes on by itself: a host reads something else than the guest would have"
            }
            Self::ApicBase => "Oriel answers no reads of an MSR whose writes it cannot carry out",
            Self::X2apic | Self::Kvm | Self::HyperV => self.of_writes(),
            Self::Features | Self::Speculation | Self::MachineChecks | Self::Processor => {
                "KVM may show a host what a guest's read faults on"
            }
        }
    }
}
