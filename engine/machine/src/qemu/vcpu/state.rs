//! The state of a vCPU that is outside, as its own thread asks for it. What QEMU does not show is
//! unavailable.

use oriel_protocol::{
    Gpa, Refusal,
    x86::{Control, CpuidLeaf, Exception, General, Special},
};

use super::QemuVcpu;
use crate::{
    machine::VcpuState,
    qemu::registers::{self, CONTROL, GENERAL},
};

impl QemuVcpu {
    /// All registers, asked for once.
    fn registers(&mut self) -> Result<&[u8], Refusal> {
        self.begin();
        if self.kept.registers.is_none() {
            let index = self.index;
            let all = self
                .link
                .ask(move |world| world.on_gdb(|gdb| gdb.registers(index)))??;
            self.kept.registers = Some(all);
        }
        self.kept.registers.as_deref().ok_or(Refusal::Unavailable)
    }

    /// The value of a register as it will be.
    fn value(&mut self, name: &'static str) -> Result<u64, Refusal> {
        if let Some(written) = self.kept.writes.get(name) {
            return Ok(*written);
        }
        self.registers()?;
        let all = self.kept.registers.as_deref().unwrap_or_default();
        self.layout.value(all, name).ok_or(Refusal::Unavailable)
    }

    /// Sets a register at the next entry, if that changes it.
    fn set(&mut self, name: &'static str, value: u64) -> Result<(), Refusal> {
        if self.value(name)? != value {
            self.kept.writes.insert(name, value);
            if let Some(special) = &mut self.kept.special
                && let Some((register, _)) = CONTROL.iter().find(|(_, known)| *known == name)
                && let Some(field) = special.field(*register)
            {
                *field = value;
            }
        }
        Ok(())
    }

    fn ask_special(&mut self) -> Result<Special, Refusal> {
        let index = self.index;
        let text = self
            .link
            .look(move |world| world.on_qmp(|qmp| qmp.monitor("info registers", Some(index))))??;
        let mut special = Special::default();
        registers::with_segments(&text, &mut special).ok_or(Refusal::Unavailable)?;
        registers::with_apic(self.index, &mut special);
        for (register, name) in CONTROL {
            let value = self.value(name)?;
            *special.field(register).ok_or(Refusal::Unavailable)? = value;
        }
        Ok(special)
    }
}

impl VcpuState for QemuVcpu {
    fn general(&mut self) -> Result<General, Refusal> {
        self.registers()?;
        let all = self.kept.registers.as_deref().unwrap_or_default();
        let mut general = registers::general(&self.layout, all).ok_or(Refusal::Unavailable)?;
        for (register, name) in GENERAL {
            if let (Some(written), Some(field)) =
                (self.kept.writes.get(name), general.field(register))
            {
                *field = *written;
            }
        }
        Ok(general)
    }

    fn set_general(&mut self, general: &General) -> Result<(), Refusal> {
        let mut general = *general;
        for (register, name) in GENERAL {
            let value = *general.field(register).ok_or(Refusal::Unavailable)?;
            self.set(name, value)?;
        }
        Ok(())
    }

    /// Control registers are the stub's, segments and tables the monitor's; where the local APIC is
    /// they do not say, and it is taken to be where it is after reset.
    fn special(&mut self) -> Result<Special, Refusal> {
        self.registers()?;
        if let Some(special) = self.kept.special {
            return Ok(special);
        }
        let special = self.ask_special()?;
        self.kept.special = Some(special);
        Ok(special)
    }

    /// The stub shows these, so the monitor is not asked.
    fn control(&mut self) -> Result<Control, Refusal> {
        let mut control = Control::default();
        for (register, name) in CONTROL {
            let value = self.value(name)?;
            *control.field(register).ok_or(Refusal::Unavailable)? = value;
        }
        Ok(control)
    }

    /// Control registers, EFER and the bases of FS and GS; whoever changes anything else is refused.
    fn set_special(&mut self, special: &Special) -> Result<(), Refusal> {
        let (mut wanted, mut rest) = (*special, self.special()?);
        for (register, _) in CONTROL {
            let value = *wanted.field(register).ok_or(Refusal::Unavailable)?;
            *rest.field(register).ok_or(Refusal::Unavailable)? = value;
        }
        if rest != *special {
            return Err(Refusal::Unsupported);
        }
        for (register, name) in CONTROL {
            let value = *wanted.field(register).ok_or(Refusal::Unavailable)?;
            self.set(name, value)?;
        }
        Ok(())
    }

    fn msr(&mut self, msr: u32) -> Result<u64, Refusal> {
        self.value(registers::msr_name(msr).ok_or(Refusal::Unavailable)?)
    }

    fn set_msr(&mut self, msr: u32, value: u64) -> Result<(), Refusal> {
        self.set(registers::msr_name(msr).ok_or(Refusal::Unsupported)?, value)
    }

    fn cpuid(&mut self, _: u32, _: u32) -> Result<CpuidLeaf, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn xcr(&mut self, _: u8) -> Result<u64, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn xsave(&mut self) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn set_xsave(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Unsupported)
    }

    fn mtrr_type(&mut self, _: Gpa) -> Result<u8, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn tsc_hz(&mut self) -> Result<u64, Refusal> {
        Err(Refusal::Unavailable)
    }

    fn inject(&mut self, _: Exception) -> Result<(), Refusal> {
        Err(Refusal::Unsupported)
    }
}
