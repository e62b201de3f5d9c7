//! What the writes to registers, CPUID and the VM's own events carry.

use super::Specific;
use crate::{
    Dialect,
    events::{
        CommandError, Cpuid, Cr, CreateVcpu, Descriptor, Msr, Pause, Singlestep, Table, Unhook,
        Xsetbv,
    },
    kvmi::{
        Malformed, Snapshot,
        bytes::{Reader, Writer},
    },
    x86::CpuidLeaf,
};

/// Length of the CPUID instruction, 0F A2.
const CPUID_LENGTH: u8 = 2;

/// The number has 16 bits, in v12 8; what is behind it is zero, so that one form writes both.
impl Specific for Cr {
    fn put(&self, to: &mut Writer) {
        to.u16(self.cr.into());
        to.padding(6);
        to.words(&[self.old, self.new]);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let [low, high] = from.u16().to_le_bytes();
        from.skip(6);
        if high != 0 && from.dialect() != Dialect::V12 {
            return Err(Malformed::Value {
                what: "a control register",
                value: u16::from_le_bytes([low, high]).into(),
            });
        }
        Ok(Self {
            cr: low,
            old: from.u64(),
            new: from.u64(),
        })
    }
}

impl Specific for Msr {
    fn put(&self, to: &mut Writer) {
        to.u32(self.msr);
        to.padding(4);
        to.words(&[self.old, self.new]);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let msr = from.u32();
        from.skip(4);
        Ok(Self {
            msr,
            old: from.u64(),
            new: from.u64(),
        })
    }
}

/// Only v12 says what is written to which register. Elsewhere the operands are in the registers,
/// and the old value is not known: 0.
impl Specific for Xsetbv {
    fn put(&self, to: &mut Writer) {
        if to.dialect() == Dialect::V12 {
            to.u8(self.xcr);
            to.padding(7);
            to.words(&[self.old, self.new]);
        }
    }

    fn take(from: &mut Reader<'_>, state: &Snapshot) -> Result<Self, Malformed> {
        if from.dialect() == Dialect::V12 {
            let xcr = from.u8();
            from.skip(7);
            let (old, new) = (from.u64(), from.u64());
            return Ok(Self { xcr, old, new });
        }
        let general = &state.general;
        let [xcr, ..] = general.rcx.to_le_bytes();
        let new = general.rdx << 32 | general.rax & 0xffff_ffff;
        Ok(Self { xcr, old: 0, new })
    }
}

impl Specific for Descriptor {
    fn put(&self, to: &mut Writer) {
        to.u8(self.table as u8);
        to.switch(self.write);
        to.padding(6);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let table = match from.u8() {
            1 => Table::Idtr,
            2 => Table::Gdtr,
            3 => Table::Ldtr,
            4 => Table::Tr,
            other => {
                return Err(Malformed::Value {
                    what: "a descriptor-table register",
                    value: other.into(),
                });
            }
        };
        let write = from.u8() != 0;
        Ok(Self { table, write })
    }
}

/// What the guest would see does not come along.
impl Specific for Cpuid {
    fn put(&self, to: &mut Writer) {
        to.u32(self.function);
        to.u32(self.index);
        to.u8(CPUID_LENGTH);
        to.padding(7);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        Ok(Self {
            function: from.u32(),
            index: from.u32(),
            leaf: CpuidLeaf::default(),
        })
    }
}

/// rfc6 and v6 do not say whether it failed.
impl Specific for Singlestep {
    fn put(&self, to: &mut Writer) {
        match to.dialect() {
            Dialect::Rfc6 | Dialect::V6 => {}
            Dialect::V7 | Dialect::V12 => {
                to.switch(self.failed);
                to.padding(7);
            }
        }
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        let failed = match from.dialect() {
            Dialect::Rfc6 | Dialect::V6 => false,
            Dialect::V7 | Dialect::V12 => from.u8() != 0,
        };
        Ok(Self { failed })
    }
}

impl Specific for CommandError {
    fn put(&self, to: &mut Writer) {
        to.i32(self.error);
        to.u32(self.seq);
        to.u16(self.id);
        to.padding(6);
    }

    fn take(from: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
        Ok(Self {
            error: from.i32(),
            seq: from.u32(),
            id: from.u16(),
        })
    }
}

/// The layout of an event that has nothing of its own.
macro_rules! nothing {
    ($($row:ident)*) => { $(
        impl Specific for $row {
            fn put(&self, _: &mut Writer) {}
            fn take(_: &mut Reader<'_>, _: &Snapshot) -> Result<Self, Malformed> {
                Ok($row {})
            }
        }
    )* };
}

nothing! { CreateVcpu Pause Unhook }
