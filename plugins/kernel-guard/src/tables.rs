//! The tables by which the kernel is entered: interrupts and system calls. Owns where each entry led when
//! it was first seen, under `table/` in the store.

use std::collections::BTreeMap;

use oriel_sdk::Fixed as _;
use oriel_sdk::linux::{Absence, Entry, ReadKernel, Source};
use oriel_sdk::{GuestOs, Refusal, Store};

use crate::boot::Boot;
use crate::news::News;
use crate::told::Told;

const GATES: &str = "interrupts";
/// The same, as a vCPU has it.
const USED: &str = "interrupts of a vCPU";
const CALLS: &str = "system calls";
const COMPAT: &str = "system calls of 32-bit programs";
/// The number under which the base of the interrupt table is kept.
const BASE: u32 = u32::MAX;

/// Bytes of the interrupt table.
const TABLE: u64 = 4096;
const GATE: usize = 16;
/// Rounds in a row in which a vCPU had no time for a question, until that is told.
const PATIENCE: u32 = 10;
/// Its gate is there.
const PRESENT: u64 = 1 << 47;

type Entries = BTreeMap<u32, u64>;

/// What is known of the tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: BTreeMap<&'static str, Entries>,
    /// Vain questions to vCPUs in a row.
    missed: u32,
}

/// What a look at the tables found.
pub(crate) struct Findings<'a> {
    pub(crate) boot: &'a Boot,
    pub(crate) told: &'a mut Told,
    pub(crate) news: Vec<News>,
    pub(crate) gaps: Vec<String>,
}

impl Tables {
    /// All of them, as memory has them: no vCPU is asked.
    pub(crate) fn look(&mut self, to: &mut Findings<'_>, host: &mut (impl ReadKernel + Store)) {
        let gates = gates(host);
        self.compare((GATES, GATES), gates, to, host);
        for (table, compat) in [(CALLS, false), (COMPAT, true)] {
            let calls = host.system_calls(compat).map(|list| entries(&list.entries));
            // Many kernels run no 32-bit programs.
            if calls.is_ok() || !compat {
                self.compare((table, table), calls, to, host);
            }
        }
    }

    /// The one that a vCPU uses, which is the kernel's where nobody has changed its register.
    pub(crate) fn look_at_vcpu(
        &mut self,
        vcpu: u32,
        to: &mut Findings<'_>,
        host: &mut (impl GuestOs + Store),
    ) {
        let list = match host.interrupts(vcpu) {
            Ok(list) => list,
            Err(absence) => return self.miss(vcpu, &absence, to),
        };
        self.missed = 0;
        self.compare((USED, GATES), Ok(entries(&list.entries)), to, host);
        if list.source != Source::Register {
            return;
        }
        let bases = self.known.entry("base").or_default();
        let known = *bases.entry(BASE).or_insert(list.start);
        let first = host.first_number("table/base", known).unwrap_or(known);
        if first != list.start && to.told.is_news(&format!("base/{vcpu}"), list.start) {
            let (old, new) = (first, list.start);
            to.news.push(News::Moved { vcpu, old, new });
        }
    }

    /// A vCPU that has no time now may have it in the next round.
    fn miss(&mut self, vcpu: u32, absence: &Absence, to: &mut Findings<'_>) {
        self.missed = self.missed.saturating_add(1);
        if *absence != Absence::Refused(Refusal::Busy) || self.missed >= PATIENCE {
            let gap = format!("the interrupt table of vCPU {vcpu}: {absence}");
            to.gaps.push(gap);
        }
    }

    /// Compares a table with what is known by a name, its own or that of another like it.
    fn compare(
        &mut self,
        (table, like): (&'static str, &'static str),
        read: Result<Entries, Absence>,
        to: &mut Findings<'_>,
        host: &mut impl Store,
    ) {
        let now = match read {
            Ok(now) => now,
            Err(absence) => return to.gaps.push(format!("{table}: {absence}")),
        };
        if !self.known.contains_key(like) {
            match first(like, &now, host) {
                Ok(known) => drop(self.known.insert(like, known)),
                Err(refusal) => return to.gaps.push(format!("the store: {refusal}")),
            }
        }
        let known = self.known.get(like).unwrap_or(&now);
        to.outside(table, known, &now);
        to.changes((table, like), known, &now);
    }
}

impl Findings<'_> {
    /// What leads elsewhere; of a vCPU's table no more than the kernel's own has not told already.
    fn changes(
        &mut self,
        (table, like): (&'static str, &'static str),
        known: &Entries,
        now: &Entries,
    ) {
        for number in known.keys().chain(now.keys()) {
            let name = format!("{table}/{number}");
            let (old, new) = (known.get(number).copied(), now.get(number).copied());
            let mark = new.unwrap_or(0);
            let is_known = table != like && self.told.knows(&format!("{like}/{number}"), mark);
            if old == new {
                self.told.is_over(&name);
            } else if !is_known && self.told.is_news(&name, mark) {
                let number = *number;
                self.news.push(News::Entry {
                    table,
                    number,
                    old,
                    new,
                });
            }
        }
    }

    /// Entries that have led out of the kernel from the start. Gates that nobody has set lead to code
    /// that is gone since the boot.
    fn outside(&mut self, table: &'static str, known: &Entries, now: &Entries) {
        for (number, to) in now
            .iter()
            .filter(|(number, to)| known.get(number) == Some(to))
        {
            let name = format!("{table}/{number}/outside");
            if !self.boot.has(*to) && self.told.is_news(&name, *to) {
                let (number, to) = (*number, *to);
                self.news.push(News::Outside { table, number, to });
            }
        }
    }
}

/// What was first seen of a table.
fn first(table: &str, now: &Entries, host: &mut impl Store) -> Result<Entries, Refusal> {
    let key = format!("table/{table}");
    if let Some(known) = host.get_value::<Entries>(&key)? {
        return Ok(known);
    }
    host.set_value(&key, now)?;
    Ok(now.clone())
}

fn entries(list: &[Entry]) -> Entries {
    list.iter()
        .map(|entry| (entry.number, entry.address))
        .collect()
}

/// The gates of the kernel's interrupt table (Intel SDM vol. 3, figure 6-8).
fn gates(host: &mut impl ReadKernel) -> Result<Entries, Absence> {
    let table = host.find_symbol("idt_table", None)?.address;
    let bytes = host.read_kernel(table, TABLE)?;
    let gate = |(number, gate): (u32, &[u8])| {
        let low = u64::at(gate, 0).filter(|low| low & PRESENT != 0)?;
        let high = u64::from(u32::at(gate, 8)?);
        Some((number, high << 32 | low >> 32 & 0xffff_0000 | low & 0xffff))
    };
    Ok((0..)
        .zip(bytes.chunks_exact(GATE))
        .filter_map(gate)
        .collect())
}
