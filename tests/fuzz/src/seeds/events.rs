//! One event of each kind, as a VM sends it, and a tool's answer to it.

use oriel_protocol::{
    Access, Dialect, EventData, EventKind,
    events::{
        Breakpoint, CommandError, Cpuid, Cr, CreateVcpu, Descriptor, Hypercall, Mmio, Msr, MsrRead,
        Page, Pause, Pio, Reset, Shutdown, ShutdownCause, Singlestep, Table, Trap, Unhook, Xsetbv,
    },
    kvmi::{Action, Body, PageReply, Snapshot, event},
    x86::CpuidLeaf,
};

use super::Script;

/// An event of the kind at this place of [`EventKind::ALL`].
pub fn some_event(kind: usize) -> EventData {
    let kind = EventKind::ALL.get(kind).copied().unwrap_or(EventKind::Cr);
    let (old, new) = (0x10_0000, 0x11_0000);
    match kind {
        EventKind::Cr => Cr { cr: 3, old, new }.into(),
        EventKind::Msr => Msr {
            msr: 0xc000_0082,
            old,
            new,
        }
        .into(),
        EventKind::Xsetbv => Xsetbv {
            xcr: 0,
            old: 3,
            new: 7,
        }
        .into(),
        EventKind::Breakpoint => Breakpoint {
            gva: 0,
            gpa: 0x3800,
            length: 1,
            managed: false,
            access: Access::EXECUTE,
        }
        .into(),
        EventKind::Hypercall => Hypercall {
            number: 34,
            a: 24,
            b: 0,
            c: 0,
        }
        .into(),
        EventKind::Page => page(),
        EventKind::Trap => Trap {
            vector: 14,
            error_code: Some(2),
            address: 0x0dea_d000,
        }
        .into(),
        EventKind::Descriptor => Descriptor {
            table: Table::Idtr,
            write: true,
        }
        .into(),
        EventKind::CreateVcpu => CreateVcpu {}.into(),
        EventKind::Pause => Pause {}.into(),
        EventKind::Singlestep => Singlestep { failed: false }.into(),
        EventKind::CommandError => CommandError {
            error: -22,
            seq: 5,
            id: 10,
        }
        .into(),
        EventKind::Cpuid => Cpuid {
            function: 7,
            index: 0,
            leaf: CpuidLeaf::default(),
        }
        .into(),
        EventKind::Unhook => Unhook {}.into(),
        EventKind::MsrRead => MsrRead { msr: 16, value: 0 }.into(),
        EventKind::Pio => Pio {
            port: 0x60,
            write: false,
            size: 1,
            count: 1,
            value: 0,
        }
        .into(),
        EventKind::Mmio => Mmio {
            gpa: 0xfed0_0000,
            write: true,
            size: 8,
            value: 1,
        }
        .into(),
        EventKind::Reset => Reset {}.into(),
        EventKind::Shutdown => Shutdown {
            cause: ShutdownCause::Halted,
        }
        .into(),
    }
}

fn page() -> EventData {
    Page {
        gva: Some(0x10_1010),
        gpa: 0x10_1010,
        access: Access::WRITE,
        size: 8,
        value: None,
        view: 0,
    }
    .into()
}

/// The kinds that a dialect has.
fn spoken(dialect: Dialect) -> impl Iterator<Item = EventData> {
    let all = (0..EventKind::ALL.len()).map(some_event);
    all.filter(move |data| data.kind().numbers().of(dialect).is_some())
}

/// One of each, as a VM sends them.
pub(super) fn sent(dialect: Dialect) -> Vec<u8> {
    let messages = (1..)
        .zip(spoken(dialect))
        .filter_map(|(seq, data)| event::encode(dialect, seq, 1, &Snapshot::default(), &data));
    messages.flatten().collect()
}

/// One of each, answered in each way that an answer can go.
pub(super) fn answered(dialect: Dialect) -> Vec<u8> {
    let kinds = spoken(dialect).map(|data| data.kind());
    let kinds = kinds.filter(|&kind| !event::is_of_vm(kind));
    let actions = [Action::Continue, Action::Retry, Action::Crash];
    let all = kinds.flat_map(|kind| actions.map(|action| (kind, action)));
    let script = Script::new(dialect);
    let script = (1..)
        .zip(all)
        .fold(script, |script, (seq, (kind, action))| {
            let reply = (action, body(dialect, kind));
            script.event(0, seq, kind).answer(0, seq, kind, reply)
        });
    // Nobody waits any more: that ends the connection.
    let late = (Action::Continue, Body::None);
    script.answer(0, 1, EventKind::Pause, late).bytes()
}

fn body(dialect: Dialect, kind: EventKind) -> Body {
    if matches!(kind, EventKind::Cr | EventKind::Msr) {
        return Body::Value(0x10_0000);
    }
    if kind != EventKind::Page || dialect == Dialect::V12 {
        return Body::None;
    }
    Body::Page(PageReply {
        ctx_addr: 0x10_1010,
        ctx_size: 4,
        singlestep: false,
        rep_complete: true,
        ctx_data: Box::new([1, 2, 3, 4]),
    })
}
