//! The tables by which a kernel is entered: system calls and interrupts. Owns what an entry is;
//! whether it should be so is the reader's to judge.

use oriel_protocol::Gva;
use serde::Serialize;

use crate::{
    answer::{Answer, Found, Source},
    guest::Guest,
    kernel::handler_of,
    sight::Sight,
    words,
};

/// More system calls than any table has.
const MOST_CALLS: u64 = 1024;
/// Bytes of a gate, and how many there can be.
const GATE: usize = 16;
const MOST_GATES: usize = 256;
/// The kinds of gates: their handlers clear the interrupt flag, or do not.
const INTERRUPT: u8 = 14;
const TRAP: u8 = 15;

/// Which system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calls {
    /// Those of 64-bit programs.
    Native,
    /// Those of 32-bit programs.
    Compat,
}

impl Calls {
    /// The symbol of their table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Native => "sys_call_table",
            Self::Compat => "ia32_sys_call_table",
        }
    }
}

/// Where something leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The number of the system call, or the interrupt vector.
    pub number: u32,
    /// Where it leads.
    #[serde(serialize_with = "oriel_protocol::linux::hex")]
    pub address: Gva,
    /// The symbol that begins exactly there, if one does.
    pub symbol: Option<String>,
    /// Whether it lies in the kernel's own code, as it is mapped: not in a module, nor anywhere else.
    pub in_text: bool,
}

/// A gate of the interrupt table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// Where it leads.
    #[serde(flatten)]
    pub entry: Entry,
    /// The code segment.
    pub selector: u16,
    /// Which of the stacks in the task state segment, 0 for none.
    pub stack: u8,
    /// From which privilege level on INT may use it.
    pub dpl: u8,
    /// Interrupts stay on.
    pub is_trap: bool,
}

impl Guest<'_> {
    /// The table of system calls. It has no length: it ends where the next symbol begins. Kernels
    /// since 6.9 keep it for tracers, and do not enter by it.
    ///
    /// # Errors
    /// [`Unknown`](crate::Unknown) where the table is.
    pub fn syscalls(&self, which: Calls) -> Answer<Vec<Entry>> {
        let start = self.symbol(which.table())?;
        let end = self.symbols()?.next_behind(start);
        let count = end.map_or(0, |end| (end - start) / 8).min(MOST_CALLS);
        let length = usize::try_from(count * 8).unwrap_or(0);
        let bytes = self.space().bytes(start, length)?;
        let words = bytes
            .chunks_exact(8)
            .filter_map(|word| words::u64_at(word, 0));
        // What fills the space up to the next symbol is zero.
        let entries = words.take_while(|address| *address != 0);
        let entries = (0..)
            .zip(entries)
            .map(|(number, at)| self.entry(number, at));
        Ok(Found::new(entries.collect(), Source::Neighbour))
    }

    /// The interrupt table of a vCPU, without the gates that are not there; by the kernel's symbol
    /// where the machine does not show the register.
    ///
    /// # Errors
    /// [`Unknown`](crate::Unknown) where neither is, or the table is not mapped.
    pub fn interrupts(&self, sight: &Sight) -> Answer<Vec<Gate>> {
        let shown = sight.idt.filter(|(base, _)| *base != 0);
        let (base, length, source) = match shown {
            Some((base, limit)) => (base, usize::from(limit) + 1, Source::Register),
            None => (
                self.symbol("idt_table")?,
                MOST_GATES * GATE,
                Source::Kallsyms,
            ),
        };
        let bytes = self.space().bytes(base, length.min(MOST_GATES * GATE))?;
        let gates = (0..).zip(bytes.chunks_exact(GATE));
        let gates = gates.filter_map(|(vector, gate)| self.gate(vector, gate));
        Ok(Found::new(gates.collect(), source))
    }

    /// A gate that is there (Intel SDM vol. 3, figure 6-8).
    fn gate(&self, vector: u32, bytes: &[u8]) -> Option<Gate> {
        let (stack, flags) = (*bytes.get(4)?, *bytes.get(5)?);
        let kind = flags & 0xf;
        let present = flags & 0x80 != 0 && matches!(kind, INTERRUPT | TRAP);
        present.then_some(())?;
        Some(Gate {
            entry: self.entry(vector, handler_of(bytes)?),
            selector: words::u16_at(bytes, 2)?,
            stack: stack & 7,
            dpl: flags >> 5 & 3,
            is_trap: kind == TRAP,
        })
    }

    fn entry(&self, number: u32, address: Gva) -> Entry {
        let symbols = self.symbols().ok();
        let code = |symbols: &'_ crate::symbols::Symbols| {
            let name = symbols.exactly(address).next()?.name.to_owned();
            Some(name)
        };
        Entry {
            number,
            address,
            symbol: symbols.and_then(code),
            in_text: self.index().kernel().executes(address),
        }
    }
}
