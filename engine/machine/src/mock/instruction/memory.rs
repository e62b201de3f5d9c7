//! Instructions that touch memory and the tables in it.

use oriel_protocol::{
    Access, Gpa, Gva,
    commands::vcpu::Place,
    events::{self, Table},
    x86::Exception,
};
use serde::Deserialize;

use super::{Decoded, Play};
use crate::mock::{
    cpu::{Cpu, mask},
    guest::Guest,
    scenario::value::{number, optional, place, table},
};

/// `event = "page"`: an access to RAM that stays within one page.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "TouchText")]
pub struct Touch {
    /// One of the three: a load into RAX, a store from RAX, or a fetch of an instruction that
    /// does nothing else.
    pub access: Access,
    /// Where. A physical address goes past the page tables.
    pub place: Place,
    /// 1, 2, 4 or 8 bytes.
    pub size: u8,
    /// What is stored; none: what RAX holds.
    pub value: Option<u64>,
}

/// The keys of its step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TouchText {
    access: String,
    #[serde(default, deserialize_with = "optional")]
    gva: Option<Gva>,
    #[serde(default, deserialize_with = "optional")]
    gpa: Option<Gpa>,
    #[serde(default = "long", deserialize_with = "number")]
    size: u8,
    #[serde(default, deserialize_with = "optional")]
    value: Option<u64>,
}

const fn long() -> u8 {
    8
}

impl TryFrom<TouchText> for Touch {
    type Error = &'static str;

    fn try_from(text: TouchText) -> Result<Self, Self::Error> {
        let known = Access::NAMES.iter().find(|(_, name)| *name == text.access);
        let access = known.map(|(bit, _)| *bit);
        Ok(Self {
            access: access.ok_or("`access` is `read`, `write` or `execute`")?,
            place: place(text.gva, text.gpa)?,
            size: text.size,
            value: text.value,
        })
    }
}

impl Touch {
    /// The physical address, or the page fault.
    fn gpa(&self, guest: &Guest) -> Result<Gpa, Exception> {
        match self.place {
            Place::Gva(gva) => guest.translate(gva, self.access),
            Place::Gpa(gpa) => Ok(gpa),
        }
    }
}

impl Play for Touch {
    fn load(&self, cpu: &mut Cpu) {
        if let (Access::EXECUTE, Place::Gva(gva)) = (self.access, self.place) {
            cpu.general.rip = gva;
        }
        if let (Access::WRITE, Some(value)) = (self.access, self.value) {
            cpu.general.rax = value;
        }
    }

    /// A fetch has been told of before it comes to this, as that of any instruction.
    fn decode(&self, guest: &Guest) -> Decoded {
        let gpa = self.gpa(guest)?;
        if self.access == Access::EXECUTE {
            return Ok(None);
        }
        let stored = guest.cpu.general.rax & mask(self.size);
        let touch = events::Page {
            gva: match self.place {
                Place::Gva(gva) => Some(gva),
                Place::Gpa(_) => None,
            },
            gpa,
            access: self.access,
            size: self.size,
            value: (self.access == Access::WRITE).then_some(stored),
            view: 0,
        };
        Ok(Some(touch.into()))
    }
}

/// `event = "descriptor"`: loads a descriptor-table register, or stores it into RAX.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Descriptor {
    /// Which.
    #[serde(deserialize_with = "table")]
    pub table: Table,
    /// Loaded, not stored.
    pub write: bool,
    /// For a load, by way of RAX: the base of IDTR and GDTR, the selector of LDTR and TR.
    #[serde(default, deserialize_with = "number")]
    pub value: u64,
    /// For a load of IDTR or GDTR, by way of RCX: the limit.
    #[serde(default, deserialize_with = "number")]
    pub limit: u16,
}

impl Play for Descriptor {
    fn load(&self, cpu: &mut Cpu) {
        if self.write {
            cpu.general.rax = self.value;
            cpu.general.rcx = u64::from(self.limit);
        }
    }

    fn decode(&self, _guest: &Guest) -> Decoded {
        let Self { table, write, .. } = *self;
        Ok(Some(events::Descriptor { table, write }.into()))
    }
}
