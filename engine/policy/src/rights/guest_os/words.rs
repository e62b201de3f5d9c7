//! The words of the tables in those of WIT.

use oriel_protocol::{Gpa, linux as table};

use crate::{
    bindings::oriel::introspection::guest_os as wit,
    words::{same, same_fields},
};

same!(table::Source => wit::Source:
    Register Kallsyms Btf KallsymsAndBtf Vmcoreinfo Lstar Idt PageTables Neighbour Shape Convention);
same!(table::Ending => wit::Ending: Whole Broken Loop Endless);
same!(table::TaskState => wit::TaskState:
    Running Sleeping DiskSleep Stopped TracingStop Dead Zombie Parked Idle);
same!(table::PartKind => wit::PartKind: Text Data Rodata RoAfterInit Init);
same!(table::ModuleState => wit::ModuleState: Live Coming Going Unformed);
same!(table::AreaKind => wit::AreaKind: Text Rodata);

same_fields!(table::Kernel => wit::Kernel: release banner start end cr3 slide source);
same_fields!(table::Symbol => wit::Symbol: name address kind);
same_fields!(table::Bits => wit::Bits: shift width);
same_fields!(table::Credentials => wit::Credentials: uid gid euid egid effective permitted);
same_fields!(table::Entry => wit::Entry: number address in_text);
same_fields!(table::Area => wit::Area: kind start end source);

impl From<table::Field> for wit::Field {
    fn from(field: table::Field) -> Self {
        Self {
            hops: field.hops,
            offset: field.offset,
            size: field.size,
            bits: field.bits.map(Into::into),
        }
    }
}

impl From<table::Task> for wit::Task {
    fn from(task: table::Task) -> Self {
        Self {
            address: task.address,
            pid: task.pid,
            tgid: task.tgid,
            parent: task.parent,
            comm: task.comm,
            credentials: task.credentials.map(Into::into),
            state: task.state.map(Into::into),
            kernel: task.kernel,
            cr3: task.cr3,
            start_time: task.start_time,
        }
    }
}

impl From<table::Module> for wit::Module {
    fn from(module: table::Module) -> Self {
        Self {
            address: module.address,
            name: module.name,
            start: module.base,
            size: module.size,
            state: module.state.into(),
            parts: module.parts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<table::Part> for wit::Part {
    fn from(part: table::Part) -> Self {
        Self {
            kind: part.kind.into(),
            start: part.base,
            size: part.size,
        }
    }
}

impl From<table::EntryTable> for wit::EntryList {
    fn from(table: table::EntryTable) -> Self {
        Self {
            entries: table.entries.into_iter().map(Into::into).collect(),
            start: table.start,
            source: table.source.into(),
        }
    }
}

impl From<(Gpa, u32)> for wit::Piece {
    fn from((gpa, length): (Gpa, u32)) -> Self {
        Self { gpa, length }
    }
}
