//! A policy that repeats what it is told: each parameter of each call comes back as a metric.

use std::fmt::Write;

use oriel_protocol::{
    Access, Event, EventData, EventKind,
    events::{
        Breakpoint, Cpuid, Cr, Descriptor, EventClass, Hypercall, Mmio, Msr, MsrRead, Page, Pio,
        Reset, Shutdown, ShutdownCause, Singlestep, Table, Trap, Xsetbv,
    },
    x86::CpuidLeaf,
};

use super::{FakeDesk, Guest, event};

/// Of how many parameters `moment` consists.
pub(super) const MOMENT: usize = 9;

/// A policy that judges every kind and repeats it; `extra` parameters are repeated beyond the
/// moment's.
pub(super) fn guest() -> Guest {
    let judged = EventKind::ALL
        .iter()
        .filter(|kind| kind.class() == EventClass::Vcpu);
    judged.fold(Guest::new().importing("metrics", "add"), |guest, kind| {
        let interface = format!("judge-{}", kind.name());
        let body = repeat(&guest.params(&interface, "judge"));
        guest.exporting(&interface).with(&interface, "judge", &body)
    })
}

/// A body that repeats its parameters, which are of these types.
pub(super) fn repeat(params: &[&str]) -> String {
    params
        .iter()
        .enumerate()
        .fold(String::new(), |mut body, (at, ty)| {
            let value = match *ty {
                "i32" => format!("(i64.extend_i32_u (local.get $p{at}))"),
                _ => format!("(local.get $p{at})"),
            };
            write!(
                body,
                "(call $metrics.add (i32.const 0) (i32.const 0) {value})"
            )
            .unwrap();
            body
        })
}

/// What was repeated.
pub(super) fn heard(desk: &FakeDesk) -> Vec<u64> {
    let number = |line: &String| {
        let (_, rest) = line.split_once("Count(")?;
        rest.split_once(')')?.0.parse().ok()
    };
    desk.asked.iter().filter_map(number).collect()
}

/// An event of each kind, with the parameters that its judge gets behind the moment, where the
/// proposed value is the event's own.
pub(super) fn events() -> Vec<(Event, Vec<u64>)> {
    let leaf = CpuidLeaf {
        eax: 31,
        ebx: 32,
        ecx: 33,
        edx: 34,
    };
    let page = Page {
        gva: Some(0x7000),
        gpa: 0x8000,
        access: Access::WRITE,
        size: 8,
        value: Some(77),
        view: 0,
    };
    let breakpoint = Breakpoint {
        gva: 0x10,
        gpa: 0x20,
        length: 1,
        managed: true,
        access: Access::EXECUTE,
    };
    let trap = Trap {
        vector: 14,
        error_code: Some(6),
        address: 0xbeef,
    };
    let pio = Pio {
        port: 0x3f8,
        write: true,
        size: 1,
        count: 3,
        value: 65,
    };
    let mmio = Mmio {
        gpa: 0xfee0_0000,
        write: false,
        size: 4,
        value: 5,
    };
    let table = Table::Ldtr;
    let cause = ShutdownCause::Halted;
    vec![
        row(
            Cr {
                cr: 4,
                old: 1,
                new: 2,
            },
            &[4, 1, 2, 2],
        ),
        row(
            Msr {
                msr: 0xc000_0082,
                old: 1,
                new: 2,
            },
            &[0xc000_0082, 1, 2, 2],
        ),
        row(
            Xsetbv {
                xcr: 0,
                old: 3,
                new: 7,
            },
            &[0, 3, 7, 7],
        ),
        row(breakpoint, &[0x10, 0x20, 1, 1, 5]),
        row(
            Hypercall {
                number: 1,
                a: 2,
                b: 3,
                c: 4,
            },
            &[1, 2, 3, 4],
        ),
        row(page, &[0x7000, 0x8000, 0b11010, 8, 77, 77, 5]),
        row(trap, &[14, 1, 6, 0xbeef]),
        row(Descriptor { table, write: true }, &[2, 1]),
        row(Singlestep { failed: true }, &[1]),
        row(
            Cpuid {
                function: 7,
                index: 1,
                leaf,
            },
            &[7, 1, 31, 32, 33, 34],
        ),
        row(
            MsrRead {
                msr: 0x10,
                value: 9,
            },
            &[0x10, 9, 9],
        ),
        row(pio, &[0x3f8, 1, 1, 3, 65, 65]),
        row(mmio, &[0xfee0_0000, 0, 4, 5, 5]),
        row(Reset {}, &[]),
        row(Shutdown { cause }, &[2]),
    ]
}

fn row(data: impl Into<EventData>, told: &[u64]) -> (Event, Vec<u64>) {
    (event(data), told.to_vec())
}
