//! What is wrong with a request although its bytes are in order, as far as that can be told
//! without the machine. It owns the rules and their errors per dialect; the bytes are
//! [`layout`](super::layout)'s business, the rest is the machine's.

use super::{Close, Errno, Flaw, frame::ERROR_CODE, layout::XSAVE};
use crate::{
    Dialect, EventKind, Gpa, Grant, Request, VcpuCall, VmCall,
    commands::{
        vcpu::{ControlEvents, GetRegisters, InjectException},
        vm::{ControlVmEvents, PauseVcpu},
    },
    page::PAGE_SIZE,
};

/// What the checks go by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// The dialect that is spoken.
    pub(super) dialect: Dialect,
    /// What the tool may see and do.
    pub(super) grant: &'a Grant,
    /// How many vCPUs there are.
    pub(super) vcpus: u32,
}

impl Rules<'_> {
    /// Checks a command for the VM.
    pub(super) fn vm(self, call: &VmCall) -> Result<(), Flaw> {
        match call {
            VmCall::PauseVcpu(request) => self.pause(request),
            VmCall::ControlVmEvents(request) => self.vm_event(request),
            VmCall::ReadPhysical(request) => within_a_page(request.gpa, request.length.into()),
            VmCall::WritePhysical(request) => {
                within_a_page(request.gpa, request.bytes.len() as u64)
            }
            VmCall::ControlSpp(request) if !request.enable => Err(Errno::OPNOTSUPP.into()),
            VmCall::GetVersion(_) | VmCall::CheckCommand(_) | VmCall::CheckEvent(_) => Ok(()),
            VmCall::GetGuestInfo(_) | VmCall::GetPageAccess(_) | VmCall::SetPageAccess(_) => Ok(()),
            VmCall::GetMapToken(_) | VmCall::ControlSpp(_) | VmCall::GetPageWriteBitmap(_) => {
                Ok(())
            }
            VmCall::SetPageWriteBitmap(_) | VmCall::ControlCommandResponse(_) => Ok(()),
            VmCall::GetMaxGfn(_) | VmCall::SetPageSve(_) | VmCall::GetNextAvailableGfn(_) => Ok(()),
            VmCall::QueryPhysical(_) | VmCall::CreateView(_) | VmCall::DestroyView(_) => Ok(()),
            VmCall::ControlCleanup(_) | VmCall::GetIdentity(_) | VmCall::GetCapabilities(_) => {
                Ok(())
            }
            VmCall::ReadScattered(_) | VmCall::SetHardwarePoint(_) => Ok(()),
            VmCall::ReadWord(_) | VmCall::CoversMemory(_) | VmCall::ClearBreakpoint(_) => Ok(()),
            VmCall::ListBreakpoints(_) | VmCall::PauseOthers(_) | VmCall::Resume(_) => Ok(()),
            VmCall::GetKernel(_) | VmCall::FindSymbol(_) | VmCall::FindVariants(_) => Ok(()),
            VmCall::SymbolAt(_) | VmCall::FindField(_) | VmCall::SystemCalls(_) => Ok(()),
            VmCall::ListTasks(_) | VmCall::FindTask(_) | VmCall::HiddenTasks(_) => Ok(()),
            VmCall::ListModules(_) | VmCall::ListAreas(_) | VmCall::LocateKernel(_) => Ok(()),
        }
    }

    /// Checks a command for a vCPU.
    pub(super) fn vcpu(self, call: &VcpuCall) -> Result<(), Flaw> {
        match call {
            VcpuCall::ControlEvents(request) => self.vcpu_event(request),
            VcpuCall::ControlCr(request) => valid(matches!(request.cr, 0 | 3 | 4)),
            VcpuCall::ControlMsr(request) => valid(can_be_intercepted(request.msr)),
            VcpuCall::GetRegisters(request) => self.fits(request),
            VcpuCall::GetXcr(request) => valid(request.xcr == 0),
            VcpuCall::SetXsave(request) => valid(request.area.len() <= XSAVE),
            VcpuCall::InjectException(request) => self.injection(request),
            VcpuCall::ControlSinglestep(_) => self.raises(EventKind::Singlestep),
            VcpuCall::GetVcpuInfo(_) | VcpuCall::SetRegisters(_) | VcpuCall::GetCpuid(_) => Ok(()),
            VcpuCall::GetXsave(_) | VcpuCall::GetMtrrType(_) | VcpuCall::SetVeInfoPage(_) => Ok(()),
            VcpuCall::SetView(_) | VcpuCall::DisableVe(_) | VcpuCall::GetView(_) => Ok(()),
            VcpuCall::TranslateGva(_) | VcpuCall::ControlView(_) | VcpuCall::AllocGfn(_) => Ok(()),
            VcpuCall::FreeGfn(_) | VcpuCall::ChangeGfn(_) | VcpuCall::GetRegister(_) => Ok(()),
            VcpuCall::GetGeneral(_) | VcpuCall::GetMsr(_) | VcpuCall::SetRegister(_) => Ok(()),
            VcpuCall::SetMsr(_) | VcpuCall::TranslateIn(_) | VcpuCall::ReadVirtual(_) => Ok(()),
            VcpuCall::WriteVirtual(_) | VcpuCall::SetBreakpoint(_) => Ok(()),
            VcpuCall::CurrentTask(_) | VcpuCall::GetInterrupts(_) => Ok(()),
        }
    }

    /// A pause ends in an event; where that is not granted, v7 gives up the connection.
    fn pause(self, request: &PauseVcpu) -> Result<(), Flaw> {
        let granted = self.grant.events.contains(EventKind::Pause);
        match self.dialect {
            Dialect::V7 if !granted => Err(Flaw::Close(Close::EventDenied {
                command: PauseVcpu::ID.name(),
                event: EventKind::Pause.name(),
            })),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V12 if !granted => Err(Errno::PERM.into()),
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 | Dialect::V12 => {
                valid(request.vcpu < self.vcpus)
            }
        }
    }

    fn vm_event(self, request: &ControlVmEvents) -> Result<(), Flaw> {
        valid(is_switched_by_vm(request.event))?;
        self.granted(request.event)
    }

    fn vcpu_event(self, request: &ControlEvents) -> Result<(), Flaw> {
        valid(!is_switched_by_vm(request.event))?;
        self.granted(request.event)
    }

    fn granted(self, event: EventKind) -> Result<(), Flaw> {
        match self.grant.events.contains(event) {
            true => Ok(()),
            false => Err(Errno::PERM.into()),
        }
    }

    /// v12 refuses commands that end in an event which is not granted.
    fn raises(self, event: EventKind) -> Result<(), Flaw> {
        match self.dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Ok(()),
            Dialect::V12 => self.granted(event),
        }
    }

    fn injection(self, request: &InjectException) -> Result<(), Flaw> {
        self.raises(EventKind::Trap)?;
        valid(request.exception.vector < 32)
    }

    fn fits(self, request: &GetRegisters) -> Result<(), Flaw> {
        if ERROR_CODE + request.answer_size() <= self.dialect.max_received() {
            return Ok(());
        }
        Err(Flaw::Errno(match self.dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => Errno::NOMEM,
            Dialect::V12 => Errno::INVAL,
        }))
    }
}

fn valid(valid: bool) -> Result<(), Flaw> {
    match valid {
        true => Ok(()),
        false => Err(Errno::INVAL.into()),
    }
}

/// One command reaches into one page at most, and moves at least a byte.
fn within_a_page(gpa: Gpa, length: u64) -> Result<(), Flaw> {
    let room = PAGE_SIZE - gpa % PAGE_SIZE;
    valid((1..=room).contains(&length))
}

/// The MSRs that VMX's bitmaps have a bit for (SDM vol. 3, "MSR-Bitmap Address"), as KVMI
/// documents them.
const fn can_be_intercepted(msr: u32) -> bool {
    matches!(msr, 0..=0x1fff | 0xc000_0000..=0xc000_1fff)
}

/// The events that CONTROL_VM_EVENTS switches; all others are switched vCPU by vCPU.
const fn is_switched_by_vm(event: EventKind) -> bool {
    matches!(event, EventKind::Unhook | EventKind::CreateVcpu)
}
