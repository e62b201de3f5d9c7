//! What KVM says when a vCPU leaves the guest, as plain values.

use kvm_bindings::{
    KVM_INTERNAL_ERROR_EMULATION, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    KVM_MSR_EXIT_REASON_FILTER,
};
use oriel_protocol::Gpa;

/// Why `KVM_RUN` returned (KVM API, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawExit {
    /// `KVM_EXIT_X86_RDMSR` and `KVM_EXIT_X86_WRMSR`.
    Msr(MsrExit),
    /// `KVM_EXIT_IO`.
    Port(PortExit),
    /// `KVM_EXIT_MMIO`: one fragment of at most eight bytes.
    Memory {
        /// Where.
        gpa: Gpa,
        /// A store, not a load.
        write: bool,
        /// Bytes.
        size: u8,
    },
    /// `KVM_EXIT_HLT`.
    Halt,
    /// `KVM_EXIT_SHUTDOWN`: a triple fault.
    Shutdown,
    /// `KVM_EXIT_INTR`.
    Interrupted,
    /// `KVM_EXIT_SYSTEM_EVENT`, with its type.
    System(u32),
    /// `KVM_EXIT_INTERNAL_ERROR`.
    Internal(InternalError),
    /// `KVM_EXIT_FAIL_ENTRY`, with the hardware's reason.
    FailEntry(u64),
    /// `KVM_EXIT_DEBUG`.
    Debug(DebugExit),
    /// No exit, but EFAULT: the memory behind a guest address cannot be reached.
    Fault,
    /// Any other, by its number.
    Other(u32),
}

/// An access to an MSR that KVM leaves to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrExit {
    /// Which.
    pub msr: u32,
    /// What is to be written; none for a read.
    pub written: Option<u64>,
    /// A bit of `KVM_MSR_EXIT_REASON_*`.
    pub reason: u32,
}

impl MsrExit {
    /// Whether the filter has caused it.
    pub const fn is_filtered(&self) -> bool {
        self.reason & KVM_MSR_EXIT_REASON_FILTER != 0
    }
}

/// Port input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortExit {
    /// The port.
    pub port: u16,
    /// Output, not input.
    pub write: bool,
    /// Bytes of one element.
    pub size: u8,
    /// Elements: more than one only for string instructions.
    pub count: u32,
}

/// #DB or #BP, which `KVM_SET_GUEST_DEBUG` has made ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DebugExit {
    /// The vector: 1 or 3.
    pub exception: u32,
    /// The linear address of the instruction.
    pub pc: u64,
    /// For #DB, what DR6 would say.
    pub dr6: u64,
}

impl DebugExit {
    /// DR6.BS.
    pub const SINGLE_STEP: u64 = 1 << 14;

    /// Whether it is an INT3's.
    pub const fn is_int3(&self) -> bool {
        self.exception == 3
    }

    /// Whether it is #DB.
    pub const fn is_debug(&self) -> bool {
        self.exception == 1
    }

    /// Whether a stepped instruction has ended (DR6.BS; SDM vol. 3, section 18.2.3).
    pub const fn is_step(&self) -> bool {
        self.is_debug() && self.dr6 & Self::SINGLE_STEP != 0
    }
}

/// KVM could not go on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalError {
    /// `KVM_INTERNAL_ERROR_*`.
    pub suberror: u32,
    /// How many words KVM has filled.
    pub words: u32,
    /// The first of them: what Oriel reads. Not all sixteen, as every exit would be as large.
    pub data: [u64; 3],
}

impl InternalError {
    /// Whether KVM's emulator has met an instruction that it lacks, or could not fetch one.
    pub const fn is_emulation(&self) -> bool {
        self.suberror == KVM_INTERNAL_ERROR_EMULATION
    }

    /// Whether the instruction is an INT3, which some KVMs cannot emulate.
    pub fn is_int3(&self) -> bool {
        self.instruction()
            .is_some_and(|bytes| bytes.first() == Some(&0xcc))
    }

    /// The bytes of the instruction that could not be emulated, where KVM gives them: the struct
    /// `emulation_failure` of `kvm_run`, whose flags are the first word, followed by a length and
    /// up to 15 bytes.
    pub fn instruction(&self) -> Option<Vec<u8>> {
        let has_bytes = u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
        if !self.is_emulation() || self.words < 3 || self.data[0] & has_bytes == 0 {
            return None;
        }
        let bytes = [self.data[1].to_le_bytes(), self.data[2].to_le_bytes()].concat();
        let (&length, bytes) = bytes.split_first()?;
        Some(bytes.get(..usize::from(length).min(15))?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(words: u32, flags: u64, bytes: [u8; 16]) -> InternalError {
        let mut data = [0; 3];
        data[0] = flags;
        data[1] = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        data[2] = u64::from_le_bytes(bytes[8..].try_into().unwrap());
        InternalError {
            suberror: 1,
            words,
            data,
        }
    }

    #[test]
    fn the_instruction_is_taken_from_where_kvm_puts_it() {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&[5, 0xf3, 0x48, 0x0f, 0xb8, 0xc3]);
        let popcnt = vec![0xf3, 0x48, 0x0f, 0xb8, 0xc3];
        assert_eq!(error(8, 1, bytes).instruction(), Some(popcnt));
        assert_eq!(error(8, 0, bytes).instruction(), None, "no flag, no bytes");
        assert_eq!(error(1, 1, bytes).instruction(), None, "an older kernel");
    }

    #[test]
    fn no_length_reads_past_the_fifteen_bytes() {
        let mut bytes = [0x90; 16];
        bytes[0] = 0xff;
        assert_eq!(error(8, 1, bytes).instruction(), Some(vec![0x90; 15]));
    }
}
