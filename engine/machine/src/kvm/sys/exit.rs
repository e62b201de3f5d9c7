//! Reads the union in `kvm_run` that says what happened (KVM API, section 5).

#![expect(unsafe_code, reason = "the data of an exit are a C union")]

use kvm_bindings::{
    KVM_EXIT_DEBUG, KVM_EXIT_FAIL_ENTRY, KVM_EXIT_HLT, KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_INTR,
    KVM_EXIT_IO, KVM_EXIT_IO_OUT, KVM_EXIT_MEMORY_FAULT, KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN,
    KVM_EXIT_SYSTEM_EVENT, KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR, kvm_run__bindgen_ty_1 as Data,
};

use crate::kvm::exit::{DebugExit, InternalError, MsrExit, PortExit, RawExit};

/// The data of an exit, where KVM has put them. Only what the reason speaks of is read: the whole
/// is 256 bytes, and an exit is to cost little.
#[derive(Clone, Copy)]
pub(super) struct ExitData(*const Data);

impl ExitData {
    /// # Safety
    /// There is a whole union at `data`, aligned and mapped for as long as this value is used.
    pub(super) const unsafe fn at(data: *const Data) -> Self {
        Self(data)
    }
}

/// The exit of this reason with its data.
pub(super) fn read(reason: u32, data: ExitData) -> RawExit {
    match reason {
        KVM_EXIT_IO => port(data),
        KVM_EXIT_MMIO => memory(data),
        KVM_EXIT_X86_RDMSR => msr(data, false),
        KVM_EXIT_X86_WRMSR => msr(data, true),
        KVM_EXIT_INTERNAL_ERROR => internal(data),
        KVM_EXIT_FAIL_ENTRY => fail_entry(data),
        KVM_EXIT_SYSTEM_EVENT => system(data),
        KVM_EXIT_HLT => RawExit::Halt,
        KVM_EXIT_SHUTDOWN => RawExit::Shutdown,
        KVM_EXIT_INTR => RawExit::Interrupted,
        KVM_EXIT_DEBUG => debug(data),
        KVM_EXIT_MEMORY_FAULT => RawExit::Fault,
        other => RawExit::Other(other),
    }
}

fn port(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let io = unsafe { (&raw const (*data.0).io).read_volatile() };
    RawExit::Port(PortExit {
        port: io.port,
        write: u32::from(io.direction) == KVM_EXIT_IO_OUT,
        size: io.size,
        count: io.count,
    })
}

fn memory(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let mmio = unsafe { (&raw const (*data.0).mmio).read_volatile() };
    RawExit::Memory {
        gpa: mmio.phys_addr,
        write: mmio.is_write != 0,
        size: u8::try_from(mmio.len).unwrap_or(8).min(8),
    }
}

fn msr(data: ExitData, write: bool) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let exit = unsafe { (&raw const (*data.0).msr).read_volatile() };
    RawExit::Msr(MsrExit {
        msr: exit.index,
        written: write.then_some(exit.data),
        reason: exit.reason,
    })
}

fn debug(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let debug = unsafe { (&raw const (*data.0).debug.arch).read_volatile() };
    RawExit::Debug(DebugExit {
        exception: debug.exception,
        pc: debug.pc,
        dr6: debug.dr6,
    })
}

fn fail_entry(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let entry = unsafe { (&raw const (*data.0).fail_entry).read_volatile() };
    RawExit::FailEntry(entry.hardware_entry_failure_reason)
}

fn system(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let event = unsafe { (&raw const (*data.0).system_event).read_volatile() };
    RawExit::System(event.type_)
}

fn internal(data: ExitData) -> RawExit {
    // SAFETY: `ExitData::at`; every variant of the union is integers, for which any bits are valid.
    let error = unsafe { (&raw const (*data.0).internal).read_volatile() };
    let [flags, first, second, ..] = error.data;
    RawExit::Internal(InternalError {
        suberror: error.suberror,
        words: error.ndata.min(16),
        data: [flags, first, second],
    })
}
