//! What a played instruction does to the vCPU and to memory, as it is told or with another value.

use oriel_protocol::{
    EventData, Refusal, Value,
    events::{self, Table},
    x86::{CpuidLeaf, DescriptorTable, Exception},
};

use super::{
    cpu::{low16, mask},
    guest::Guest,
};
use crate::machine::End;

/// What a hypercall answers that nobody knows: −`KVM_ENOSYS`.
const NOBODY_ANSWERS: u64 = (-1000_i64).cast_unsigned();

/// With which value an instruction is carried out.
#[derive(Debug)]
pub(super) enum Given {
    /// Its own.
    Own,
    /// Another, for what it writes or gets.
    Value(Value),
    /// Other bytes for what it loads.
    Bytes(Box<[u8]>),
}

impl Given {
    fn word(&self, own: u64) -> u64 {
        match self {
            Self::Value(Value::Word(word)) => *word,
            Self::Value(Value::Leaf(_)) | Self::Own | Self::Bytes(_) => own,
        }
    }

    fn leaf(&self, own: CpuidLeaf) -> CpuidLeaf {
        match self {
            Self::Value(Value::Leaf(leaf)) => *leaf,
            Self::Value(Value::Word(_)) | Self::Own | Self::Bytes(_) => own,
        }
    }

    /// Puts the given bytes over the first ones of a load.
    fn over(&self, loaded: u64) -> u64 {
        let mut bytes = loaded.to_le_bytes();
        if let Self::Bytes(given) = self {
            bytes
                .iter_mut()
                .zip(given)
                .for_each(|(to, from)| *to = *from);
        }
        u64::from_le_bytes(bytes)
    }
}

impl Guest {
    /// Carries out what was decoded; answers how the VM ends, if that ends it.
    ///
    /// # Errors
    /// The fault that it raises instead.
    #[inline]
    pub(super) fn carry_out(
        &mut self,
        data: &EventData,
        given: &Given,
    ) -> Result<Option<End>, Exception> {
        match data {
            EventData::Cr(it) => taken(self.cpu.set_cr(it.cr, given.word(it.new)))?,
            EventData::Msr(it) => taken(self.cpu.set_msr(it.msr, given.word(it.new)))?,
            EventData::Xsetbv(it) => taken(self.cpu.set_xcr(it.xcr, given.word(it.new)))?,
            EventData::Breakpoint(_) => return Err(Exception::BP),
            EventData::Hypercall(_) => self.cpu.general.rax = given.word(NOBODY_ANSWERS),
            EventData::Page(it) => self.touch(it, given),
            EventData::Descriptor(it) if it.write => self.load_table(it.table),
            EventData::Descriptor(it) => self.cpu.general.rax = self.table(it.table),
            EventData::Cpuid(it) => self.answer_cpuid(given.leaf(it.leaf)),
            EventData::MsrRead(it) => self.cpu.set_edx_eax(given.word(it.value)),
            EventData::Pio(it) => self.port(it, given.word(it.value)),
            EventData::Mmio(it) => self.device(it, given.word(it.value)),
            EventData::Reset(_) => self.cpu.clone_from(&self.start),
            EventData::Shutdown(it) => return Ok(Some(End::Shutdown(it.cause))),
            EventData::Trap(_) | EventData::Singlestep(_) | EventData::CommandError(_) => {}
            EventData::CreateVcpu(_) | EventData::Pause(_) | EventData::Unhook(_) => {}
        }
        Ok(None)
    }

    fn touch(&mut self, it: &events::Page, given: &Given) {
        match it.value {
            Some(own) => self.store(it.gpa, it.size, given.word(own)),
            None => {
                let loaded = given.over(self.load(it.gpa, it.size));
                self.cpu.load_rax(it.size, loaded);
            }
        }
    }

    fn answer_cpuid(&mut self, leaf: CpuidLeaf) {
        self.cpu.general.rax = u64::from(leaf.eax);
        self.cpu.general.rbx = u64::from(leaf.ebx);
        self.cpu.general.rcx = u64::from(leaf.ecx);
        self.cpu.general.rdx = u64::from(leaf.edx);
    }

    fn port(&mut self, it: &events::Pio, value: u64) {
        if it.write {
            self.seen().ports.insert(it.port, value & mask(it.size));
        } else {
            self.cpu.load_rax(it.size, value);
        }
    }

    fn device(&mut self, it: &events::Mmio, value: u64) {
        if it.write {
            self.seen().devices.insert(it.gpa, value & mask(it.size));
        } else {
            self.cpu.load_rax(it.size, value);
        }
    }

    /// The base of a table, or the selector of a segment.
    pub(super) const fn table(&self, table: Table) -> u64 {
        let special = &self.cpu.special;
        match table {
            Table::Idtr => special.idt.base,
            Table::Gdtr => special.gdt.base,
            Table::Ldtr => special.ldt.selector as u64,
            Table::Tr => special.tr.selector as u64,
        }
    }

    const fn load_table(&mut self, table: Table) {
        let operands = &self.cpu.general;
        let loaded = DescriptorTable {
            base: operands.rax,
            limit: low16(operands.rcx),
        };
        let special = &mut self.cpu.special;
        match table {
            Table::Idtr => special.idt = loaded,
            Table::Gdtr => special.gdt = loaded,
            Table::Ldtr => special.ldt.selector = low16(loaded.base),
            Table::Tr => special.tr.selector = low16(loaded.base),
        }
    }
}

/// A register does not take the value: the instruction faults.
fn taken(answer: Result<(), Refusal>) -> Result<(), Exception> {
    answer.map_err(|_| Exception::GP0)
}
