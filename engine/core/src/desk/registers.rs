//! Commands on registers.

use oriel_protocol::{
    CommandId, Handle, Refusal, Request,
    commands::vcpu::{
        GetCpuid, GetGeneral, GetMsr, GetMtrrType, GetRegister, GetRegisters, GetVcpuInfo, GetXcr,
        GetXsave, Registers, SetMsr, SetRegister, SetRegisters, SetXsave,
    },
    kvmi::Snapshot,
    x86::{Control, CpuidLeaf, General, Register, Special},
};

use super::Desk;
use crate::record::{Record, Refused};

/// The most MSRs that one command reads: what fits into a message of KVMI's.
const MSRS_MAX: usize = 481;
/// The size of the XSAVE area that commands carry (KVMI's `kvm_xsave`).
const XSAVE_MAX: usize = 4096;

impl Desk {
    /// The general registers as the judges before have left them.
    pub(super) fn general(&mut self) -> Result<General, Refusal> {
        let mut general = self.vcpu.general()?;
        self.staged.overlay_general(&mut general);
        Ok(general)
    }

    /// The control registers as the judges before have left them.
    pub(super) fn control(&mut self) -> Result<Control, Refusal> {
        let mut control = self.vcpu.control()?;
        self.staged.overlay_control(&mut control);
        Ok(control)
    }

    /// The special registers as the judges before have left them.
    pub(super) fn special(&mut self) -> Result<Special, Refusal> {
        let mut special = self.vcpu.special()?;
        self.staged.overlay_special(&mut special);
        Ok(special)
    }

    /// The state that goes with an event to a tool; zero where an MSR cannot be read, or is not
    /// granted.
    pub(crate) fn snapshot(&mut self) -> Result<Snapshot, Refusal> {
        let mut msrs = [0; Snapshot::MSRS.len()];
        let read = self.vcpu.msrs(&Snapshot::MSRS);
        let grant = &self.asking()?.grant;
        let granted = Snapshot::MSRS.map(|msr| grant.has_msr(msr));
        for ((value, read), granted) in msrs.iter_mut().zip(read).zip(granted) {
            *value = read.filter(|_| granted).unwrap_or(0);
        }
        Ok(Snapshot {
            general: self.general()?,
            special: self.special()?,
            msrs,
            view: 0,
        })
    }

    fn set<R: Request>(&mut self, register: Register, value: u64) -> Result<(), Refusal> {
        let answer = self.staged.write(self.caller, register, value);
        if answer == Err(Refusal::Conflict) {
            self.tell_conflict(R::ID, register);
        }
        answer
    }

    /// Tells of a write that another judge has been before.
    fn tell_conflict(&self, command: CommandId, register: Register) {
        let before = self.staged.writer(register);
        let with = before.and_then(|judge| self.name_of(judge));
        let Ok(asking) = self.asking() else { return };
        self.shared.tell(|| {
            Record::Refusal(Refused {
                judge: asking.name.clone(),
                moment: self.moment,
                command,
                refusal: Refusal::Conflict,
                with,
            })
        });
    }
}

impl Handle<GetVcpuInfo> for Desk {
    fn handle(&mut self, _: GetVcpuInfo) -> Result<u64, Refusal> {
        self.vcpu.tsc_hz()
    }
}

impl Handle<GetRegisters> for Desk {
    fn handle(&mut self, request: GetRegisters) -> Result<Box<Registers>, Refusal> {
        if request.msrs.len() > MSRS_MAX {
            return Err(Refusal::Limit);
        }
        let msrs = request
            .msrs
            .into_iter()
            .map(|msr| Ok((msr, self.vcpu.msr(msr)?)));
        let msrs = msrs.collect::<Result<_, Refusal>>()?;
        Ok(Box::new(Registers {
            general: self.general()?,
            special: self.special()?,
            msrs,
        }))
    }
}

impl Handle<GetGeneral> for Desk {
    fn handle(&mut self, _: GetGeneral) -> Result<General, Refusal> {
        self.general()
    }
}

impl Handle<GetRegister> for Desk {
    fn handle(&mut self, request: GetRegister) -> Result<u64, Refusal> {
        if let Some(field) = self.general()?.field(request.register) {
            return Ok(*field);
        }
        if Control::ALL.contains(&request.register) {
            let mut control = self.control()?;
            let field = control.field(request.register).map(|field| *field);
            return field.ok_or(Refusal::Invalid);
        }
        self.special()?
            .field(request.register)
            .map(|field| *field)
            .ok_or(Refusal::Invalid)
    }
}

impl Handle<SetRegister> for Desk {
    fn handle(&mut self, request: SetRegister) -> Result<(), Refusal> {
        self.set::<SetRegister>(request.register, request.value)
    }
}

impl Handle<SetRegisters> for Desk {
    fn handle(&mut self, request: SetRegisters) -> Result<(), Refusal> {
        let mut now = self.general()?;
        let mut wanted = request.general;
        for register in Register::GENERAL {
            let Some(value) = wanted.field(register).map(|field| *field) else {
                continue;
            };
            // What stays as it is, is not written, and so conflicts with nobody.
            if now.field(register).is_some_and(|field| *field != value) {
                self.set::<SetRegisters>(register, value)?;
            }
        }
        Ok(())
    }
}

impl Handle<GetMsr> for Desk {
    fn handle(&mut self, request: GetMsr) -> Result<u64, Refusal> {
        self.vcpu.msr(request.msr)
    }
}

impl Handle<SetMsr> for Desk {
    fn handle(&mut self, request: SetMsr) -> Result<(), Refusal> {
        self.vcpu.set_msr(request.msr, request.value)
    }
}

impl Handle<GetCpuid> for Desk {
    fn handle(&mut self, request: GetCpuid) -> Result<CpuidLeaf, Refusal> {
        self.vcpu.cpuid(request.function, request.index)
    }
}

impl Handle<GetXcr> for Desk {
    fn handle(&mut self, request: GetXcr) -> Result<u64, Refusal> {
        self.vcpu.xcr(request.xcr)
    }
}

impl Handle<GetXsave> for Desk {
    fn handle(&mut self, _: GetXsave) -> Result<Vec<u8>, Refusal> {
        self.vcpu.xsave()
    }
}

impl Handle<SetXsave> for Desk {
    fn handle(&mut self, request: SetXsave) -> Result<(), Refusal> {
        if request.area.len() > XSAVE_MAX {
            return Err(Refusal::Invalid);
        }
        self.vcpu.set_xsave(&request.area)
    }
}

impl Handle<GetMtrrType> for Desk {
    fn handle(&mut self, request: GetMtrrType) -> Result<u8, Refusal> {
        self.vcpu.mtrr_type(request.gpa)
    }
}
