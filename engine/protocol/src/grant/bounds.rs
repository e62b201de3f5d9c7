//! What narrows a grant: which MSRs, and which memory. Owns the rules over the arguments of
//! commands; never looks at a guest.
//!
//! The two matches below name every row, so a new command does not compile before somebody has
//! said what it reaches.

use serde::Serialize;

use crate::{
    Gpa, Gva, Ranges, VcpuCall, VmCall,
    commands::{vcpu::Place, vm::PageRule},
    page::{self, PAGE_SIZE},
    x86::{Register, msr},
};

/// What narrows a grant. Each part is none where nothing is said, and then nothing is narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bounds {
    /// The MSRs: to read, to set, to arm and to hear of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msrs: Option<Ranges<u64>>,
    /// Memory to read, to place breakpoints in, and to trap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Reach>,
    /// Memory to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<Reach>,
}

/// Memory that is within reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reach {
    /// Guest-physical addresses.
    pub physical: Ranges<u64>,
    /// Guest-virtual addresses, by the tables in force.
    #[serde(rename = "virtual")]
    pub linear: Ranges<u64>,
}

/// A yes to a command for a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As it is.
    Whole,
    /// If all the pages behind these virtual addresses are within reach.
    Pages(Span),
}

/// Virtual memory that a command wants, and that no virtual range covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The tables; none: those in force.
    pub cr3: Option<u64>,
    /// From where.
    pub gva: Gva,
    /// How many bytes.
    pub length: u64,
    /// To write; else to read.
    pub write: bool,
}

impl Span {
    const fn read(cr3: Option<u64>, gva: Gva, length: u64) -> Self {
        Self {
            cr3,
            gva,
            length,
            write: false,
        }
    }
}

impl Reach {
    /// Tables that the judge has chosen say whatever it likes, so virtual ranges mean those in
    /// force only.
    fn covers_linear(&self, span: &Span) -> bool {
        span.cr3.is_none() && self.linear.covers(span.gva, span.length)
    }
}

impl Bounds {
    /// Whether nothing is narrowed.
    pub const fn is_open(&self) -> bool {
        self.msrs.is_none() && self.read.is_none() && self.write.is_none()
    }

    /// Whether this MSR is within.
    pub fn has_msr(&self, msr: u32) -> bool {
        self.msrs
            .as_ref()
            .is_none_or(|msrs| msrs.contains(msr.into()))
    }

    /// Whether all of this physical memory is within, to be read or written.
    pub fn has_physical(&self, gpa: Gpa, length: u64, write: bool) -> bool {
        self.reach(write)
            .is_none_or(|reach| reach.physical.covers(gpa, length))
    }

    const fn reach(&self, write: bool) -> Option<&Reach> {
        if write {
            self.write.as_ref()
        } else {
            self.read.as_ref()
        }
    }

    fn reads(&self, gpa: Gpa, length: u64) -> bool {
        self.has_physical(gpa, length, false)
    }

    /// A trap tells of every access to the page, so all of the page has to be within.
    fn reads_page(&self, gpa: Gpa) -> bool {
        self.reads(page::frame(gpa) * PAGE_SIZE, PAGE_SIZE)
    }

    /// A point watches an address whatever lies behind it, so a virtual range has to cover it.
    fn reads_linear(&self, gva: Gva, length: u64) -> bool {
        self.read
            .as_ref()
            .is_none_or(|reach| reach.linear.covers(gva, length))
    }

    /// What would go around the ranges is for those only who have none.
    const fn all_memory(&self) -> bool {
        self.read.is_none() && self.write.is_none()
    }

    /// Whether the arguments of a command for the VM are within.
    pub fn admit_vm(&self, call: &VmCall) -> bool {
        match call {
            VmCall::ReadPhysical(want) => self.reads(want.gpa, want.length.into()),
            VmCall::ReadWord(want) => self.reads(want.gpa, want.size.into()),
            VmCall::CoversMemory(want) => self.reads(want.gpa, want.length),
            VmCall::ReadScattered(want) => want
                .ranges
                .iter()
                .all(|&(gpa, length)| self.reads(gpa, length.into())),
            VmCall::WritePhysical(want) => {
                self.has_physical(want.gpa, want.bytes.len() as u64, true)
            }
            VmCall::SetPageAccess(want) => {
                let page = |rule: &PageRule| self.reads_page(rule.gpa);
                want.entries.iter().all(page)
            }
            VmCall::SetPageWriteBitmap(want) => {
                want.entries.iter().all(|&(gpa, _)| self.reads_page(gpa))
            }
            VmCall::SetPageSve(want) => self.reads_page(want.gpa),
            VmCall::SetHardwarePoint(want) => self.reads_linear(want.gva, want.length.into()),
            VmCall::GetMapToken(_) | VmCall::QueryPhysical(_) => self.all_memory(),
            VmCall::GetVersion(_) | VmCall::CheckCommand(_) | VmCall::CheckEvent(_) => true,
            VmCall::GetGuestInfo(_) | VmCall::GetMaxGfn(_) | VmCall::GetIdentity(_) => true,
            VmCall::GetCapabilities(_) | VmCall::GetNextAvailableGfn(_) => true,
            VmCall::PauseVcpu(_) | VmCall::PauseOthers(_) | VmCall::Resume(_) => true,
            VmCall::ControlVmEvents(_) | VmCall::ControlCommandResponse(_) => true,
            VmCall::ControlCleanup(_) | VmCall::ControlSpp(_) => true,
            // What they tell of is this judge's own.
            VmCall::GetPageAccess(_) | VmCall::GetPageWriteBitmap(_) => true,
            VmCall::ClearBreakpoint(_) | VmCall::ListBreakpoints(_) => true,
            VmCall::CreateView(_) | VmCall::DestroyView(_) => true,
            // What the guest's own tables say is a right by itself; its memory is read by others.
            VmCall::GetKernel(_) | VmCall::FindSymbol(_) | VmCall::FindVariants(_) => true,
            VmCall::SymbolAt(_) | VmCall::FindField(_) | VmCall::SystemCalls(_) => true,
            VmCall::ListTasks(_) | VmCall::FindTask(_) | VmCall::HiddenTasks(_) => true,
            VmCall::ListModules(_) | VmCall::ListAreas(_) | VmCall::LocateKernel(_) => true,
        }
    }

    /// Whether the arguments of a command for a vCPU are within; none: they are not.
    pub fn admit_vcpu(&self, call: &VcpuCall) -> Option<Admission> {
        let whole = |yes: bool| yes.then_some(Admission::Whole);
        match call {
            VcpuCall::ControlMsr(want) => whole(self.has_msr(want.msr)),
            VcpuCall::GetMsr(want) => whole(self.has_msr(want.msr)),
            VcpuCall::SetMsr(want) => whole(self.has_msr(want.msr)),
            VcpuCall::GetRegisters(want) => {
                whole(want.msrs.iter().all(|&number| self.has_msr(number)))
            }
            VcpuCall::SetRegister(want) => {
                whole(behind(want.register).is_none_or(|number| self.has_msr(number)))
            }
            VcpuCall::TranslateGva(want) => self.linear(Span::read(None, want.gva, 1)),
            VcpuCall::TranslateIn(want) => self.linear(Span::read(want.cr3, want.gva, 1)),
            VcpuCall::ReadVirtual(want) => {
                self.linear(Span::read(want.cr3, want.gva, want.length.into()))
            }
            VcpuCall::WriteVirtual(want) => self.linear(Span {
                cr3: None,
                gva: want.gva,
                length: want.bytes.len() as u64,
                write: true,
            }),
            VcpuCall::SetBreakpoint(want) => match want.place {
                Place::Gpa(gpa) => whole(self.reads(gpa, 1)),
                Place::Gva(gva) => self.linear(Span::read(None, gva, 1)),
            },
            VcpuCall::SetVeInfoPage(want) => {
                let page = page::frame(want.gpa) * PAGE_SIZE;
                whole(self.has_physical(page, PAGE_SIZE, true))
            }
            VcpuCall::AllocGfn(_) | VcpuCall::FreeGfn(_) | VcpuCall::ChangeGfn(_) => {
                whole(self.all_memory())
            }
            VcpuCall::GetVcpuInfo(_) | VcpuCall::GetCpuid(_) => whole(true),
            VcpuCall::GetXsave(_) | VcpuCall::SetXsave(_) => whole(true),
            VcpuCall::GetXcr(_) | VcpuCall::GetMtrrType(_) | VcpuCall::GetGeneral(_) => whole(true),
            VcpuCall::GetRegister(_) | VcpuCall::SetRegisters(_) => whole(true),
            VcpuCall::ControlEvents(_) | VcpuCall::ControlCr(_) => whole(true),
            VcpuCall::ControlSinglestep(_) | VcpuCall::InjectException(_) => whole(true),
            VcpuCall::SetView(_) | VcpuCall::GetView(_) | VcpuCall::ControlView(_) => whole(true),
            VcpuCall::DisableVe(_) => whole(true),
            VcpuCall::CurrentTask(_) | VcpuCall::GetInterrupts(_) => whole(true),
        }
    }

    fn linear(&self, span: Span) -> Option<Admission> {
        match self.reach(span.write) {
            None => Some(Admission::Whole),
            Some(reach) if reach.covers_linear(&span) => Some(Admission::Whole),
            // Without a physical range there is nothing that the pages could lie in.
            Some(reach) if reach.physical.is_empty() => None,
            Some(_) => Some(Admission::Pages(span)),
        }
    }
}

/// The MSR behind a register that has a name of its own besides.
const fn behind(register: Register) -> Option<u32> {
    match register {
        Register::Efer => Some(msr::EFER),
        Register::FsBase => Some(msr::FS_BASE),
        Register::GsBase => Some(msr::GS_BASE),
        Register::Rax | Register::Rbx | Register::Rcx | Register::Rdx => None,
        Register::Rsi | Register::Rdi | Register::Rsp | Register::Rbp => None,
        Register::R8 | Register::R9 | Register::R10 | Register::R11 => None,
        Register::R12 | Register::R13 | Register::R14 | Register::R15 => None,
        Register::Rip | Register::Rflags => None,
        Register::Cr0 | Register::Cr2 | Register::Cr3 | Register::Cr4 | Register::Cr8 => None,
        Register::IdtBase | Register::GdtBase => None,
    }
}

#[cfg(test)]
mod tests;
