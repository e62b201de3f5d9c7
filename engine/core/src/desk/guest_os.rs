//! Commands that ask what a Linux guest's memory means. Owns how an answer of `oriel-guest` becomes a
//! row's; never follows a pointer of the guest's itself.

mod asking;

use oriel_guest::{Area as Sort, Unknown, tables};
use oriel_protocol::{
    Gpa, Handle, Refusal,
    commands::{
        vcpu::{CurrentTask, GetInterrupts},
        vm::{
            FindField, FindSymbol, FindTask, FindVariants, GetKernel, HiddenTasks, ListAreas,
            ListModules, ListTasks, LocateKernel, SymbolAt, SystemCalls,
        },
    },
    linux::{Area, Entry, EntryTable, Field, Kernel, Listing, Module, Symbol, Task, Told},
};

use super::{Desk, memory::check_length};

impl Handle<GetKernel> for Desk {
    fn handle(&mut self, _: GetKernel) -> Result<Told<Box<Kernel>>, Refusal> {
        self.ask_guest(|guest| {
            let index = guest.index();
            Ok(Box::new(Kernel {
                release: index.release().to_owned(),
                banner: index.banner().value.clone(),
                start: index.kernel().start(),
                end: index.kernel().end(),
                cr3: index.tables().value,
                slide: index.slide().ok().map(|slide| slide.value),
                source: index.kernel().source,
            }))
        })
    }
}

impl Handle<FindSymbol> for Desk {
    fn handle(&mut self, request: FindSymbol) -> Result<Told<Symbol>, Refusal> {
        let FindSymbol { name, module } = request;
        self.ask_guest(|guest| {
            let module = module.map(|name| guest.module(&name)).transpose()?;
            let symbols = guest.symbols_in(module.as_ref())?.value;
            let found = symbols.find(&name).map(owned);
            found.ok_or(Unknown::Symbol(name))
        })
    }
}

impl Handle<FindVariants> for Desk {
    fn handle(&mut self, request: FindVariants) -> Result<Told<Vec<Symbol>>, Refusal> {
        self.ask_guest(|guest| {
            let found = guest.symbols()?.variants(&request.name);
            Ok(found.map(owned).collect())
        })
    }
}

impl Handle<SymbolAt> for Desk {
    fn handle(&mut self, request: SymbolAt) -> Result<Told<Symbol>, Refusal> {
        let SymbolAt { gva } = request;
        self.ask_guest(|guest| {
            let module = guest.owner_of(gva)?;
            let symbols = guest.symbols_in(module.as_ref())?.value;
            let found = symbols.at(gva).map(|(symbol, _)| owned(symbol));
            found.ok_or(Unknown::Address(gva))
        })
    }
}

impl Handle<FindField> for Desk {
    fn handle(&mut self, request: FindField) -> Result<Told<Field>, Refusal> {
        let FindField { path, module } = request;
        self.ask_guest(|guest| {
            let found = guest.types_in(module.as_deref())?.value.field(&path)?;
            Ok(Field {
                hops: found.hops,
                offset: found.offset,
                size: found.size,
                bits: found.bits,
            })
        })
    }
}

impl Handle<ListTasks> for Desk {
    fn handle(&mut self, _: ListTasks) -> Result<Told<Listing<Task>>, Refusal> {
        self.ask_guest(|guest| guest.tasks())
    }
}

impl Handle<FindTask> for Desk {
    fn handle(&mut self, request: FindTask) -> Result<Told<Box<Task>>, Refusal> {
        self.ask_guest(|guest| Ok(Box::new(guest.task(request.pid)?.value)))
    }
}

impl Handle<HiddenTasks> for Desk {
    fn handle(&mut self, _: HiddenTasks) -> Result<Told<Vec<Task>>, Refusal> {
        let sights: Vec<_> = self.glance().into_iter().collect();
        self.ask_guest(|guest| {
            let view = guest.cross_view(&sights)?;
            Ok(view.hidden().map(|seen| seen.task.clone()).collect())
        })
    }
}

impl Handle<ListModules> for Desk {
    fn handle(&mut self, _: ListModules) -> Result<Told<Listing<Module>>, Refusal> {
        self.ask_guest(|guest| guest.modules())
    }
}

impl Handle<SystemCalls> for Desk {
    fn handle(&mut self, request: SystemCalls) -> Result<Told<EntryTable>, Refusal> {
        let which = if request.compat {
            tables::Calls::Compat
        } else {
            tables::Calls::Native
        };
        self.ask_guest(|guest| {
            let calls = guest.syscalls(which)?;
            Ok(EntryTable {
                start: guest.symbol(which.table())?,
                entries: calls.value.iter().map(entry).collect(),
                source: calls.source,
            })
        })
    }
}

impl Handle<ListAreas> for Desk {
    fn handle(&mut self, _: ListAreas) -> Result<Told<Vec<Area>>, Refusal> {
        self.ask_guest(|guest| {
            let area = |kind: Sort| {
                guest.area(kind).map(|found| Area {
                    kind,
                    start: found.value.start,
                    end: found.value.end,
                    source: found.source,
                })
            };
            let text = area(Sort::Text)?;
            Ok([Some(text), area(Sort::Rodata).ok()]
                .into_iter()
                .flatten()
                .collect())
        })
    }
}

impl Handle<LocateKernel> for Desk {
    fn handle(&mut self, request: LocateKernel) -> Result<Told<Vec<(Gpa, u32)>>, Refusal> {
        let LocateKernel { gva, length } = request;
        check_length(length as usize)?;
        self.ask_guest(|guest| guest.space().pieces(gva, length))
    }
}

impl Handle<CurrentTask> for Desk {
    fn handle(&mut self, _: CurrentTask) -> Result<Told<Box<Task>>, Refusal> {
        let sight = self.glance().ok_or(Refusal::Unavailable)?;
        self.ask_guest(|guest| Ok(Box::new(guest.current(&sight)?.value)))
    }
}

impl Handle<GetInterrupts> for Desk {
    fn handle(&mut self, _: GetInterrupts) -> Result<Told<EntryTable>, Refusal> {
        let sight = self.sight().ok_or(Refusal::Unavailable)?;
        self.ask_guest(|guest| {
            let gates = guest.interrupts(&sight)?;
            let shown = sight.idt.map(|(base, _)| base).filter(|base| *base != 0);
            let start = shown.map_or_else(|| guest.symbol("idt_table"), Ok)?;
            let entries = gates.value.iter().map(|gate| entry(&gate.entry));
            Ok(EntryTable {
                start,
                entries: entries.collect(),
                source: gates.source,
            })
        })
    }
}

fn owned(symbol: oriel_guest::Symbol<'_>) -> Symbol {
    Symbol {
        name: symbol.name.to_owned(),
        address: symbol.address,
        kind: symbol.kind,
    }
}

const fn entry(entry: &tables::Entry) -> Entry {
    Entry {
        number: entry.number,
        address: entry.address,
        in_text: entry.in_text,
    }
}
