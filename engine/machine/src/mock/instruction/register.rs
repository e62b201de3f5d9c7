//! Instructions that read and write registers.

use oriel_protocol::{EventData, events, x86::Exception};
use serde::Deserialize;

use super::{Decoded, Play};
use crate::mock::{
    cpu::{Cpu, low},
    guest::Guest,
    scenario::value::{msr_number, number},
};

/// `event = "cr"`: writes a control register from RAX.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WriteCr {
    /// 0, 3 or 4.
    #[serde(deserialize_with = "number")]
    pub cr: u8,
    /// What.
    #[serde(deserialize_with = "number")]
    pub value: u64,
}

impl Play for WriteCr {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rax = self.value;
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let old = guest.cpu.cr(self.cr).ok_or(Exception::GP0)?;
        let write = events::Cr {
            cr: self.cr,
            old,
            new: guest.cpu.general.rax,
        };
        Ok(Some(write.into()))
    }
}

/// `event = "msr"`: WRMSR.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WriteMsr {
    /// Which: a number, or a name such as `lstar`.
    #[serde(deserialize_with = "msr_number")]
    pub msr: u32,
    /// What.
    #[serde(deserialize_with = "number")]
    pub value: u64,
}

impl Play for WriteMsr {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rcx = u64::from(self.msr);
        cpu.set_edx_eax(self.value);
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let msr = low(guest.cpu.general.rcx);
        let write = events::Msr {
            msr,
            old: guest.cpu.msr(msr).ok_or(Exception::GP0)?,
            new: guest.cpu.edx_eax(),
        };
        Ok(Some(write.into()))
    }
}

/// `event = "msr-read"`: RDMSR.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ReadMsr {
    /// Which: a number, or a name such as `lstar`.
    #[serde(deserialize_with = "msr_number")]
    pub msr: u32,
}

impl Play for ReadMsr {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rcx = u64::from(self.msr);
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let msr = low(guest.cpu.general.rcx);
        let value = guest.cpu.msr(msr).ok_or(Exception::GP0)?;
        Ok(Some(events::MsrRead { msr, value }.into()))
    }
}

/// `event = "xsetbv"`: XSETBV.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct WriteXcr {
    /// 0 is the only one.
    #[serde(default, deserialize_with = "number")]
    pub xcr: u8,
    /// What.
    #[serde(deserialize_with = "number")]
    pub value: u64,
}

impl Play for WriteXcr {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rcx = u64::from(self.xcr);
        cpu.set_edx_eax(self.value);
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let xcr = u8::try_from(low(guest.cpu.general.rcx)).map_err(|_| Exception::GP0)?;
        let write = events::Xsetbv {
            xcr,
            old: guest.cpu.xcr(xcr).ok_or(Exception::GP0)?,
            new: guest.cpu.edx_eax(),
        };
        Ok(Some(write.into()))
    }
}

/// `event = "cpuid"`: CPUID.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AskCpuid {
    /// EAX.
    #[serde(deserialize_with = "number")]
    pub function: u32,
    /// ECX.
    #[serde(default, deserialize_with = "number")]
    pub index: u32,
}

impl Play for AskCpuid {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rax = u64::from(self.function);
        cpu.general.rcx = u64::from(self.index);
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let (function, index) = (low(guest.cpu.general.rax), low(guest.cpu.general.rcx));
        Ok(Some(EventData::Cpuid(events::Cpuid {
            function,
            index,
            // Hardware answers zeros for a leaf that it does not have.
            leaf: guest.cpu.cpuid(function, index).unwrap_or_default(),
        })))
    }
}
