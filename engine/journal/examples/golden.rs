//! Writes the journals of `tests/data/journal`, which are kept: a journal of today must be readable by
//! the Oriel of tomorrow. Writes nothing over what is there; a new version of the form, or other
//! tables, get files of their own names.
//!
//! `cargo run -p oriel-journal --example golden`

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use oriel_journal::{
    Entry, codec,
    entry::{
        ARCH, Asked, Begun, Called, Class, Header, MAGIC, Missed, Outcome, Parameter, Said, Seat,
        Seen, VERSION, tables,
    },
    recording::framed,
};
use oriel_protocol::{
    Access, Case, Decision, Event, EventData, EventKind, Moment, Refusal, ServiceCall, Value,
    VcpuCall, Verdict, VmCall,
    commands::{
        ServiceReply, VcpuReply, VmReply,
        service::{StoreAdd, StoreGet},
        vcpu::GetMsr,
        vm::{ReadPhysical, ReadScattered},
    },
    events::{Cpuid, Cr, Mmio, Msr, MsrRead, Page, Pio, Reset, Trap},
    x86::{CpuidLeaf, Exception},
};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/journal");
    for (name, bytes) in [
        ("v1", journal(ARCH, VERSION)),
        ("v1-aarch64", journal("aarch64", VERSION)),
        ("v2", journal(ARCH, VERSION + 1)),
    ] {
        let path = folder.join(format!("{name}.journal"));
        fs::File::create_new(&path)?.write_all(&bytes)?;
        println!("{}: {} bytes", path.display(), bytes.len());
    }
    Ok(())
}

fn journal(arch: &str, version: u16) -> Vec<u8> {
    let header = Header {
        arch: arch.to_owned(),
        uuid: *b"0123456789abcdef",
        name: "web-1".to_owned(),
        vcpus: 2,
        tables: tables(),
        engine: "0.1.0".to_owned(),
        began_s: 1_764_000_000,
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend(framed(&Entry::Header(Box::new(header))));
    bytes.extend(entries().iter().flat_map(framed));
    bytes
}

/// Some of everything.
fn entries() -> Vec<Entry> {
    let mut all = vec![begun(3, Seat::Vcpu(1), Outcome::Done)];
    let unborn = failed(Class::Declined, "it refused its settings", None);
    all.push(begun(0, Seat::Clock, unborn));
    all.extend(
        events()
            .into_iter()
            .zip(1..)
            .map(|(data, seq)| judged(data, seq)),
    );
    all.extend(
        outcomes()
            .into_iter()
            .zip(20..)
            .map(|(outcome, seq)| called(seq, Asked::Judge(seen(msr(), seq)), Vec::new(), outcome)),
    );
    all.extend(others());
    all.push(Entry::Missed(Box::new(Missed {
        policy: "guard".to_owned(),
        seat: Seat::Vm,
        at: at(40).into(),
        seen: seen(msr(), 40),
        reason: "it was not asked, after failures".to_owned(),
        answered: Verdict::Deny,
    })));
    all.push(Entry::Lost { ring: 1, count: 7 });
    all.push(Entry::Gone { instance: 3 });
    let detail = "the guest ended with 0".to_owned();
    all.push(Entry::End { detail, lost: 7 });
    all
}

fn begun(instance: u64, seat: Seat, outcome: Outcome) -> Entry {
    let numbers = vec![0xc000_0082, 0x176];
    Entry::Begun(Box::new(Begun {
        instance,
        policy: "guard".to_owned(),
        revision: 2,
        digest: [7; 32],
        seat,
        on_trial: instance == 0,
        settings: vec![
            ("lock".to_owned(), Parameter::Flag(true)),
            ("msrs".to_owned(), Parameter::Numbers(numbers)),
            (
                "on-violation".to_owned(),
                Parameter::Text("deny".to_owned()),
            ),
        ],
        limits: vec![("event-ms".to_owned(), 10)],
        at: at(0).into(),
        said: Vec::new(),
        outcome,
    }))
}

fn judged(data: EventData, seq: u64) -> Entry {
    called(
        seq,
        Asked::Judge(seen(data, seq)),
        Vec::new(),
        Outcome::Continue,
    )
}

fn called(seq: u64, asked: Asked, said: Vec<u8>, outcome: Outcome) -> Entry {
    Entry::Called(Called {
        instance: 3,
        turn: 0,
        at: at(seq).into(),
        asked,
        said,
        outcome,
    })
}

fn at(seq: u64) -> Moment {
    Moment {
        vcpu: 1,
        seq,
        time_ns: 5_000_000_000 + 1000 * seq,
    }
}

/// Every third one is not what follows from its kind.
fn seen(data: EventData, seq: u64) -> Seen {
    let event = Event {
        data,
        ip: 0xffff_ffff_8100_1234,
        cr3: 0x1234_5000,
        cpl: 3,
        allowed: data.kind().verdicts(),
        retired: seq.is_multiple_of(3),
    };
    let case = Case {
        event: &event,
        moment: at(seq),
        proposed: data.proposed(),
        decided: Decision::Continue,
        tag: 0,
    };
    let mut seen = Seen::of(&case);
    if seq.is_multiple_of(3) {
        (seen.decided, seen.tag) = (Decision::Deny, 77);
    }
    seen
}

fn msr() -> EventData {
    let (old, new) = (0xffff_ffff_8100_0000, 0xffff_ffff_8200_0000);
    let msr = 0xc000_0082;
    Msr { msr, old, new }.into()
}

/// Of each shape that an event's data has.
fn events() -> Vec<EventData> {
    let (old, new) = (0x10_0000, 0x11_0000);
    let page = Page {
        gva: Some(0xffff_8880_0000_1008),
        gpa: 0x1008,
        access: Access::WRITE,
        size: 8,
        value: Some(1),
        view: 0,
    };
    let leaf = CpuidLeaf::default();
    let (function, index) = (7, 0);
    let (write, size, value) = (true, 1, 0x41);
    let (port, count) = (0x60, 1);
    vec![
        msr(),
        Cr { cr: 3, old, new }.into(),
        page.into(),
        Trap {
            vector: 14,
            error_code: Some(2),
            address: 0x0dea_d000,
        }
        .into(),
        Cpuid {
            function,
            index,
            leaf,
        }
        .into(),
        MsrRead { msr: 16, value: 5 }.into(),
        Pio {
            port,
            write,
            size,
            count,
            value,
        }
        .into(),
        Mmio {
            gpa: 0xfee0_0000,
            write,
            size,
            value,
        }
        .into(),
        Reset {}.into(),
    ]
}

fn failed(class: Class, reason: &str, answered: Option<Verdict>) -> Outcome {
    let reason = reason.to_owned();
    Outcome::Failed {
        class,
        reason,
        answered,
    }
}

fn outcomes() -> Vec<Outcome> {
    let mut all: Vec<_> = [
        Verdict::Retry,
        Verdict::Crash,
        Verdict::Deny,
        Verdict::Skip,
        Verdict::Replace(Value::Word(0x1000)),
        Verdict::Inject(Exception::GP0),
    ]
    .map(Outcome::Verdict)
    .into();
    let overdue = "it used more than 10 ms of CPU time";
    all.push(failed(Class::Overdue, overdue, Some(Verdict::Deny)));
    all.push(failed(Class::Trap, "it trapped", Some(Verdict::Continue)));
    all
}

/// Calls that are not about a verdict, and one that says all that can be said.
fn others() -> Vec<Entry> {
    let saved = (1, vec![1, 2, 3]);
    let (schema, data) = saved.clone();
    let restore = Asked::Restore {
        schema,
        data,
        revision: 1,
    };
    let (schema, data) = saved;
    let of = |seq, asked, outcome| called(seq, asked, Vec::new(), outcome);
    vec![
        called(30, Asked::Judge(seen(msr(), 31)), said(), Outcome::Continue),
        of(31, Asked::Observe(seen(msr(), 32)), Outcome::Done),
        of(32, Asked::Notice(EventKind::CreateVcpu), Outcome::Done),
        of(33, Asked::Tick { missed: 2 }, Outcome::Done),
        of(34, Asked::Save, Outcome::Saved { schema, data }),
        of(35, restore, Outcome::Done),
    ]
}

fn said() -> Vec<u8> {
    let ranges = vec![(0x1000, 8), (u64::MAX, 8)];
    let read = vec![Ok(vec![1, 2, 3]), Err(Refusal::NotFound)];
    let (gpa, length) = (0x1000, 4);
    let key = || "count".to_owned();
    let all = [
        Said::Vm(
            VmCall::ReadPhysical(ReadPhysical { gpa, length }),
            Ok(VmReply::ReadPhysical(vec![1, 2, 3, 4])),
        ),
        Said::Vm(
            VmCall::ReadScattered(ReadScattered { ranges }),
            Ok(VmReply::ReadScattered(read)),
        ),
        Said::Vcpu(
            0,
            VcpuCall::GetMsr(GetMsr { msr: 1 }),
            Ok(VcpuReply::GetMsr(9)),
        ),
        Said::Vcpu(1, VcpuCall::GetMsr(GetMsr { msr: 1 }), Err(Refusal::Denied)),
        Said::Service(
            ServiceCall::StoreGet(StoreGet { key: key() }),
            Ok(ServiceReply::StoreGet(None)),
        ),
        Said::Service(
            ServiceCall::StoreAdd(StoreAdd {
                key: key(),
                delta: 1,
            }),
            Ok(ServiceReply::StoreAdd(41)),
        ),
    ];
    let mut bytes = Vec::new();
    assert!(all.iter().all(|said| codec::put(said, &mut bytes)));
    bytes
}
