mod golden;

use std::io;

use oriel_journal::frame;
use oriel_protocol::{
    Access, Arch, Case, Decision, Event, EventData, Moment, Refusal, ServiceCall, Value, VcpuCall,
    Verdict, VmCall,
    commands::{
        ServiceReply, VcpuReply, VmReply,
        service::StoreAdd,
        vcpu::{GetMsr, GetRegisters},
        vm::ReadScattered,
    },
    events::{Msr, Page},
    x86::Exception,
};
use uuid::Uuid;

use super::{
    entry::{Asked, Begun, Called, Class, Missed, Outcome, Parameter, Said, Seat, Seen, said},
    recording::{Ending, JournalError, Records},
    *,
};

/// A file that takes so many bytes, and after so many refusals any number.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Plate>>);

#[derive(Default)]
struct Plate {
    bytes: Vec<u8>,
    room: usize,
    refusals: usize,
    refused: usize,
}

impl Disk {
    fn with(room: usize, refusals: usize) -> Self {
        Self(Arc::new(Mutex::new(Plate {
            room,
            refusals,
            ..Plate::default()
        })))
    }

    fn endless() -> Self {
        Self::with(usize::MAX, 0)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().bytes.clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut plate = self.0.lock().unwrap();
        let left = plate.room - plate.bytes.len().min(plate.room);
        if left == 0 && plate.refused < plate.refusals {
            plate.refused += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fits = if left == 0 {
            bytes.len()
        } else {
            left.min(bytes.len())
        };
        plate.bytes.extend_from_slice(&bytes[..fits]);
        Ok(fits)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn identity() -> Identity {
    Identity {
        uuid: Uuid::from_u128(7),
        name: "web-1".into(),
        arch: Arch::X86_64,
    }
}

fn at(seq: u64) -> Moment {
    Moment {
        vcpu: 1,
        seq,
        time_ns: 5_000_000_000 + seq,
    }
}

fn msr() -> Event {
    let data = Msr {
        msr: 0xc000_0082,
        old: 0xffff_ffff_8100_0000,
        new: 0xffff_ffff_8200_0000,
    };
    Event {
        ip: 0xffff_ffff_8100_1234,
        cr3: 0x1234_5000,
        ..crate::test_event(data)
    }
}

fn case(event: &Event, seq: u64) -> Case<'_> {
    Case {
        event,
        moment: at(seq),
        proposed: event.data.proposed(),
        decided: Decision::Continue,
        tag: 0,
    }
}

fn called(seq: u64, said: Vec<u8>, outcome: Outcome) -> Entry {
    Entry::Called(Called {
        instance: 3,
        turn: 0,
        at: at(seq).into(),
        asked: Asked::Judge(Seen::of(&case(&msr(), seq))),
        said,
        outcome,
    })
}

fn begun() -> Entry {
    Entry::Begun(Box::new(Begun {
        instance: 3,
        policy: "guard".into(),
        revision: 1,
        digest: [7; 32],
        seat: Seat::Vcpu(1),
        on_trial: false,
        settings: vec![("msrs".into(), Parameter::Numbers(vec![1]))],
        limits: vec![("event-ms".into(), 10)],
        at: at(0).into(),
        said: Vec::new(),
        outcome: Outcome::Done,
    }))
}

/// Some of everything.
fn entries() -> Vec<Entry> {
    let mut all = vec![begun()];
    all.extend((1..4).map(|seq| called(seq, Vec::new(), Outcome::Continue)));
    all.push(called(
        4,
        bytes(&said_all()),
        Outcome::Verdict(Verdict::Deny),
    ));
    all.push(called(
        5,
        Vec::new(),
        Outcome::Failed {
            class: Class::Overdue,
            reason: "it used more".into(),
            answered: Some(Verdict::Inject(Exception::GP0)),
        },
    ));
    all.push(Entry::Missed(Box::new(Missed {
        policy: "guard".into(),
        seat: Seat::Vm,
        at: at(6).into(),
        seen: Seen::of(&case(&msr(), 6)),
        reason: "it was not asked".into(),
        answered: Verdict::Replace(Value::Word(1)),
    })));
    all.push(Entry::Gone { instance: 3 });
    all
}

fn said_all() -> Vec<Said> {
    let ranges = vec![(0x1000, 8), (u64::MAX, 8)];
    let read = vec![Ok(vec![1, 2, 3]), Err(Refusal::NotFound)];
    vec![
        Said::Vm(
            VmCall::ReadScattered(ReadScattered { ranges }),
            Ok(VmReply::ReadScattered(read)),
        ),
        Said::Vcpu(
            1,
            VcpuCall::GetRegisters(GetRegisters { msrs: vec![1] }),
            Ok(VcpuReply::GetRegisters(Box::default())),
        ),
        Said::Vcpu(0, VcpuCall::GetMsr(GetMsr { msr: 1 }), Err(Refusal::Denied)),
        Said::Service(
            ServiceCall::StoreAdd(StoreAdd {
                key: "count".into(),
                delta: 1,
            }),
            Ok(ServiceReply::StoreAdd(41)),
        ),
    ]
}

fn bytes(all: &[Said]) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(all.iter().all(|said| codec::put(said, &mut bytes)));
    bytes
}

/// A whole journal, with the place where each of its records ends.
fn journal() -> (Vec<u8>, Vec<usize>) {
    let disk = Disk::endless();
    let journal = Journal::start(disk.clone(), (&identity(), 2), Settings::default()).unwrap();
    for entry in entries() {
        assert!(journal.rings.put(1, &entry));
    }
    let closed = journal.finish("finished").unwrap();
    let bytes = disk.bytes();
    assert_eq!((closed.whole, closed.bytes), (true, bytes.len() as u64));
    let (_, mut records) = Records::of(&bytes).unwrap();
    let mut ends = vec![records.position()];
    while records.next().is_some() {
        ends.push(records.position());
    }
    assert_eq!(ends.len() as u64, closed.records);
    (bytes, ends)
}

#[test]
fn what_is_written_is_read() {
    let recording = Recording::read(&journal().0).unwrap();
    assert_eq!(recording.header.name, "web-1");
    assert_eq!((recording.header.vcpus, recording.lost), (2, 0));
    let (detail, lost) = ("finished".to_owned(), 0);
    assert_eq!(recording.ending, Ending::Whole { detail, lost });
    for entry in entries() {
        assert!(recording.entries.contains(&entry), "{entry:?}");
    }
}

#[test]
fn every_command_of_a_call_comes_back() {
    assert_eq!(said(&bytes(&said_all())), said_all());
    let mut cut = bytes(&said_all());
    cut.truncate(cut.len() - 1);
    assert_eq!(said(&cut), said_all()[..3], "and what is cut is left out");
}

#[test]
fn what_does_not_follow_from_an_events_kind_comes_back_too() {
    let data: EventData = Page {
        gva: None,
        gpa: 0x5000,
        access: Access::WRITE,
        size: 8,
        value: Some(1),
        view: 2,
    }
    .into();
    let event = Event {
        cpl: 3,
        retired: true,
        allowed: oriel_protocol::VerdictSet::CRASH,
        ..crate::test_event(data)
    };
    let seen = Seen {
        event,
        proposed: None,
        decided: Decision::Keep,
        tag: u64::MAX,
    };
    let mut bytes = Vec::new();
    assert!(codec::put(&seen, &mut bytes));
    assert_eq!(codec::whole::<Seen>(&bytes), Some(seen));
}

#[test]
fn an_event_without_commands_is_at_most_64_bytes() {
    let mut bytes = Vec::new();
    let entry = called(1_000_000, Vec::new(), Outcome::Continue);
    bytes.extend(recording::framed(&entry));
    assert!(bytes.len() <= 64, "{}", bytes.len());
}

#[test]
fn wherever_it_is_cut_it_is_read_up_to_the_last_whole_record() {
    let (bytes, ends) = journal();
    for length in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        match Records::of(&bytes[..length]) {
            Err(error) => {
                assert_eq!(whole, 0, "{length}");
                let short = [JournalError::NotAJournal, JournalError::Headless];
                assert!(short.contains(&error), "{length}: {error}");
            }
            Ok((_, mut records)) => {
                assert_eq!(records.by_ref().count(), whole - 1, "{length}");
                let last = ends[whole - 1];
                assert_eq!(records.position(), last, "{length}");
                let ending = if last == length {
                    Ending::Open
                } else {
                    Ending::Cut(last)
                };
                assert_eq!(records.ending(), ending, "{length}");
            }
        }
    }
}

#[test]
fn whatever_byte_is_flipped_it_is_read_up_to_the_record_before() {
    let (bytes, ends) = journal();
    for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let before = ends.iter().filter(|end| **end <= at).count();
        match Records::of(&flipped) {
            Err(_) => assert_eq!(before, 0, "{at}.{bit}"),
            Ok((_, mut records)) => {
                assert_eq!(records.by_ref().count(), before - 1, "{at}.{bit}");
                let ending = records.ending();
                // A length that has grown reaches beyond the end.
                let known = [
                    Ending::Corrupt(ends[before - 1]),
                    Ending::Cut(ends[before - 1]),
                ];
                assert!(known.contains(&ending), "{at}.{bit}: {ending}");
            }
        }
    }
}

#[test]
fn a_journal_for_somebody_else_says_so() {
    let (bytes, ends) = journal();
    let mut newer = bytes.clone();
    newer[8] = 2;
    let (version, records) = (2, ends.len() as u64);
    assert_eq!(
        Recording::read(&newer).unwrap_err(),
        JournalError::Version { version, records }
    );
    let refused = |change: fn(&mut entry::Header)| {
        let (mut header, _) = Records::of(&bytes).unwrap();
        change(&mut header);
        let mut changed = recording::beginning(&bytes).to_vec();
        changed.extend(recording::framed(&Entry::Header(Box::new(header))));
        Recording::read(&changed).unwrap_err().to_string()
    };
    let arm = refused(|header| header.arch = "aarch64".into());
    assert!(arm.contains("aarch64"), "{arm}");
    let tables = refused(|header| header.tables ^= 1);
    assert!(tables.contains("not numbered as here"), "{tables}");
    let text = Recording::read(b"{\"v\":1}").unwrap_err();
    assert_eq!(text, JournalError::NotAJournal);
}

#[test]
fn a_record_of_an_unknown_kind_ends_the_reading() {
    let (bytes, ends) = journal();
    let mut newer = bytes[..ends[2]].to_vec();
    frame::put(&[200, 1, 2, 3], &mut newer);
    newer.extend_from_slice(&bytes[ends[2]..]);
    let (_, mut records) = Records::of(&newer).unwrap();
    assert_eq!(records.by_ref().count(), 2);
    assert_eq!(records.ending(), Ending::Unknown(ends[2]));
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing() {
    let disk = Disk::with(150, 2);
    let journal = Journal::start(disk.clone(), (&identity(), 2), Settings::default()).unwrap();
    for entry in entries() {
        assert!(journal.rings.put(0, &entry));
    }
    while disk.0.lock().unwrap().refused < 2 {
        journal.rings.ring_the_bell();
        std::thread::yield_now();
    }
    let closed = journal.finish("finished").unwrap();
    assert_eq!((closed.whole, closed.lost), (true, 0));
    let recording = Recording::read(&disk.bytes()).unwrap();
    assert_eq!(recording.entries.len(), entries().len() + 1);
}

#[test]
fn a_disk_that_stays_full_leaves_what_is_there_readable() {
    let disk = Disk::with(400, usize::MAX);
    let journal = Journal::start(disk.clone(), (&identity(), 2), Settings::default()).unwrap();
    let all = (1..100).map(|seq| called(seq, Vec::new(), Outcome::Continue));
    all.for_each(|entry| assert!(journal.rings.put(0, &entry)));
    let closed = journal.finish("finished").unwrap();
    assert!(!closed.whole);
    let bytes = disk.bytes();
    assert_eq!(bytes.len(), 400, "as much as there was room for");
    let recording = Recording::read(&bytes).unwrap();
    assert!(
        matches!(recording.ending, Ending::Cut(_)),
        "{}",
        recording.ending
    );
    assert!(!recording.entries.is_empty());
}

#[test]
fn what_finds_no_room_is_lost_and_counted() {
    let disk = Disk::with(150, usize::MAX);
    let rings = Rings::new(1, 1024);
    let entry = called(1, Vec::new(), Outcome::Continue);
    let put = (0..10).filter(|_| rings.put(0, &entry)).count();
    assert!((5..7).contains(&put), "{put}");
    rings.lose(0);
    rings.close(Some("finished"));
    disk.0.lock().unwrap().room = usize::MAX;
    let mut to = disk.clone();
    let begun = writer::begin(&mut to, &identity(), 1).unwrap();
    let closed = writer::run(&rings, to, begun);
    assert_eq!((closed.lost, closed.whole), (1, true));
    let recording = Recording::read(&disk.bytes()).unwrap();
    assert_eq!(recording.lost, 1);
    let lost = Entry::Lost { ring: 0, count: 1 };
    assert!(recording.entries.contains(&lost));
}

#[test]
fn an_instances_own_order_is_kept_and_times_decide_between_others() {
    let of = |instance, turn, seq| {
        let Entry::Called(call) = called(seq, Vec::new(), Outcome::Continue) else {
            unreachable!("it is a call")
        };
        Entry::Called(Called {
            instance,
            turn,
            ..call
        })
    };
    let disk = Disk::endless();
    let journal = Journal::start(disk.clone(), (&identity(), 2), Settings::default()).unwrap();
    // A shared instance, whose second call has an earlier event; and another one between them.
    for (ring, entry) in [
        (0, of(5, 2, 1)),
        (0, of(6, 0, 4)),
        (1, of(5, 1, 3)),
        (1, of(5, 3, 9)),
    ] {
        assert!(journal.rings.put(ring, &entry));
    }
    journal.finish("finished");
    let recording = Recording::read(&disk.bytes()).unwrap();
    let calls = recording.entries.iter().filter_map(|entry| {
        let Entry::Called(call) = entry else {
            return None;
        };
        Some((call.instance, call.turn))
    });
    assert_eq!(calls.collect::<Vec<_>>(), [(5, 1), (5, 2), (6, 0), (5, 3)]);
}

#[test]
fn plain_calls_and_others_stand_in_the_order_in_which_they_were_made() {
    let disk = Disk::endless();
    let journal = Journal::start(disk.clone(), (&identity(), 2), Settings::default()).unwrap();
    for seq in 1..9 {
        let (event, at) = (msr(), at(seq));
        if seq % 3 == 0 {
            let entry = called(seq, bytes(&said_all()), Outcome::Continue);
            assert!(journal.rings.put(0, &entry));
            continue;
        }
        let (instance, turn) = (3, 0);
        let seen = Seen::of(&case(&event, seq));
        assert!(journal.rings.leave(0, || Plain {
            instance,
            turn,
            at: at.into(),
            seen
        }));
    }
    let closed = journal.finish("finished").unwrap();
    let bytes = disk.bytes();
    let (_, records) = Records::of(&bytes).unwrap();
    let entries: Vec<_> = records.map(|record| record.entry).collect();
    assert_eq!(closed.records, 1 + entries.len() as u64);
    let is = entries.iter().zip(1..).all(|(entry, seq)| {
        let plain = called(seq, Vec::new(), Outcome::Continue);
        let Entry::Called(call) = entry else {
            return seq == 9;
        };
        *entry == plain || (seq % 3 == 0 && said(&call.said) == said_all())
    });
    assert!(is && entries.len() == 9, "{entries:?}");
}
