//! Instructions that reach devices: ports and memory that is not RAM. There are no devices; an
//! input answers what the step says, an output is [kept](super::super::Probe).

use oriel_protocol::{Gpa, events};
use serde::Deserialize;

use super::{Decoded, Play};
use crate::mock::{
    cpu::{Cpu, low16, mask},
    guest::Guest,
    scenario::value::number,
};

/// `event = "pio"`: IN or OUT, by DX.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Which.
    #[serde(deserialize_with = "number")]
    pub port: u16,
    /// Output, not input.
    pub write: bool,
    /// Bytes of one element: 1, 2 or 4.
    #[serde(default = "byte", deserialize_with = "number")]
    pub size: u8,
    /// Elements of a string instruction.
    #[serde(default = "once", deserialize_with = "number")]
    pub count: u32,
    /// What goes out, or what the device answers.
    #[serde(deserialize_with = "number")]
    pub value: u64,
}

const fn byte() -> u8 {
    1
}

const fn once() -> u32 {
    1
}

impl Play for Port {
    fn load(&self, cpu: &mut Cpu) {
        cpu.general.rdx = u64::from(self.port);
        if self.write {
            cpu.load_rax(self.size, self.value);
        }
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let value = if self.write {
            guest.cpu.general.rax
        } else {
            self.value
        };
        let access = events::Pio {
            port: low16(guest.cpu.general.rdx),
            write: self.write,
            size: self.size,
            count: self.count,
            value: value & mask(self.size),
        };
        Ok(Some(access.into()))
    }
}

/// `event = "mmio"`: a load into RAX, or a store from it, where no RAM is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Where; not in RAM.
    #[serde(deserialize_with = "number")]
    pub gpa: Gpa,
    /// A store, not a load.
    pub write: bool,
    /// 1, 2, 4 or 8 bytes.
    #[serde(default = "word", deserialize_with = "number")]
    pub size: u8,
    /// What is stored, or what the device answers.
    #[serde(deserialize_with = "number")]
    pub value: u64,
}

const fn word() -> u8 {
    4
}

impl Play for Device {
    fn load(&self, cpu: &mut Cpu) {
        if self.write {
            cpu.load_rax(self.size, self.value);
        }
    }

    fn decode(&self, guest: &Guest) -> Decoded {
        let value = if self.write {
            guest.cpu.general.rax
        } else {
            self.value
        };
        let access = events::Mmio {
            gpa: self.gpa,
            write: self.write,
            size: self.size,
            value: value & mask(self.size),
        };
        Ok(Some(access.into()))
    }
}
