use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex},
};

use oriel_protocol::{
    Arch, Request,
    commands::{
        vcpu::SetMsr,
        vm::{ReadPhysical, ReadWord, WritePhysical},
    },
};
use proptest::prelude::*;
use serde_json::{Map, Value as Json};

use super::*;
use crate::record::CLOCK;

/// A file in memory. It can be held up, and can be full.
#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<Content>, Condvar)>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    held: bool,
    full: bool,
}

impl Disk {
    fn set(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }

    fn lines(&self) -> Vec<Json> {
        let text = String::from_utf8(self.bytes()).unwrap();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut content = self.0.0.lock().unwrap();
        while content.held {
            content = self.0.1.wait(content).unwrap();
        }
        if content.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        content.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn identity() -> Identity {
    Identity {
        uuid: uuid::Uuid::nil(),
        name: "test".to_owned(),
        arch: Arch::X86_64,
    }
}

fn trail(full: Full, places: usize) -> (Arc<Audit>, Disk) {
    let disk = Disk::default();
    let settings = Settings {
        full,
        places,
        patience: Duration::ZERO,
    };
    let audit = Audit::start(disk.clone(), &identity(), settings).unwrap();
    (audit, disk)
}

fn moment(seq: u64) -> Moment {
    Moment {
        vcpu: 1,
        seq,
        time_ns: 7,
    }
}

fn who() -> Who {
    Who::judge("guard".into(), None)
}

fn announce<C: Audited>(audit: &Audit, call: &C, reads: &mut Option<Reads>) -> Result<(), Refusal> {
    let opened = audit.announce(who(), moment(3), None, call, reads)?;
    opened.answered(Ok(()), reads);
    Ok(())
}

fn set(msr: u32) -> oriel_protocol::VcpuCall {
    SetMsr { msr, value: 2 }.into_call()
}

/// A whole trail of so many commands.
fn written(commands: u32) -> Vec<u8> {
    let (audit, disk) = trail(Full::Refuse, 1 << 16);
    for msr in 0..commands {
        announce(&audit, &set(msr), &mut None).unwrap();
    }
    audit.finish("told to end").unwrap();
    disk.bytes()
}

#[test]
fn a_trail_says_who_asked_for_what_and_the_answer() {
    let (audit, disk) = trail(Full::Refuse, 8);
    let mut reads = None;
    let opened = audit.announce(who(), moment(3), Some(0), &set(0x10), &mut reads);
    opened.unwrap().answered(Err(Refusal::Denied), &mut reads);
    let closed = audit.finish("told to end").unwrap();
    let lines = disk.lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["type"], &lines[0]["vm"]),
        (&"head".into(), &"test".into())
    );
    let line = &lines[1];
    assert_eq!((&line["n"], &line["type"]), (&1.into(), &"command".into()));
    assert_eq!(
        (&line["who"], &line["vcpu"], &line["seq"]),
        (&"guard".into(), &1.into(), &3.into())
    );
    assert_eq!(
        (&line["command"], &line["on"]),
        (&"set-msr".into(), &0.into())
    );
    assert_eq!(
        line["args"],
        serde_json::json!({ "msr": "0x10", "value": "0x2" })
    );
    assert_eq!(line["answer"], "denied");
    assert_eq!(
        (&lines[2]["type"], &lines[2]["lost"]),
        (&"end".into(), &0.into())
    );
    let verified = verify(&*disk.bytes()).unwrap();
    assert_eq!((verified.lines, Some(verified.hash)), (3, closed.hash));
}

#[test]
fn reads_are_counted_and_are_one_line() {
    let (audit, disk) = trail(Full::Refuse, 2);
    let mut reads = None;
    for gpa in 0..1000 {
        announce(&audit, &ReadWord { gpa, size: 8 }.into_call(), &mut reads).unwrap();
        let bulk = ReadPhysical { gpa, length: 100 }.into_call();
        announce(&audit, &bulk, &mut reads).unwrap();
    }
    let outside = ReadWord { gpa: 0x77, size: 8 }.into_call();
    let opened = audit
        .announce(who(), moment(3), None, &outside, &mut reads)
        .unwrap();
    opened.answered(Err(Refusal::Denied), &mut reads);
    drop(reads);
    audit.finish("").unwrap();
    let lines = disk.lines();
    assert_eq!(lines.len(), 3);
    let line = &lines[1];
    assert_eq!((&line["type"], &line["seq"]), (&"reads".into(), &3.into()));
    assert_eq!(
        (&line["words"], &line["bulk"], &line["bytes"]),
        (&1000.into(), &1000.into(), &100_000.into())
    );
    assert_eq!(
        (&line["refused"], &line["first_refused"]["at"]),
        (&1.into(), &"0x77".into())
    );
}

#[test]
fn what_was_read_stands_before_what_was_written_afterwards() {
    let (audit, disk) = trail(Full::Refuse, 8);
    let mut reads = None;
    announce(
        &audit,
        &ReadWord { gpa: 0, size: 8 }.into_call(),
        &mut reads,
    )
    .unwrap();
    let write = WritePhysical {
        gpa: 0,
        bytes: vec![1; 9],
    };
    announce(&audit, &write.into_call(), &mut reads).unwrap();
    audit.finish("").unwrap();
    let kinds: Vec<_> = disk
        .lines()
        .iter()
        .map(|line| line["type"].clone())
        .collect();
    assert_eq!(kinds, ["head", "reads", "command", "end"]);
    assert_eq!(disk.lines()[2]["args"]["length"], 9, "and not the bytes");
}

#[test]
fn when_nothing_more_is_taken_a_command_is_refused_before_it_runs() {
    let (audit, disk) = trail(Full::Refuse, 2);
    disk.set(|content| content.held = true);
    let refused = (0..8).map(|msr| announce(&audit, &set(msr), &mut None));
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused[..2], [Ok(()), Ok(())]);
    assert!(
        refused[2..]
            .iter()
            .all(|answer| *answer == Err(Refusal::Unavailable))
    );
    let word = ReadWord { gpa: 0, size: 8 }.into_call();
    assert_eq!(
        announce(&audit, &word, &mut None),
        Err(Refusal::Unavailable)
    );
    disk.set(|content| content.held = false);
    let closed = audit.finish("").unwrap();
    assert_eq!((closed.lines, closed.lost), (4, 0));
    verify(&*disk.bytes()).unwrap();
}

#[test]
fn where_the_operator_says_so_a_command_is_run_and_counted_as_lost() {
    let (audit, disk) = trail(Full::Drop, 2);
    disk.set(|content| content.held = true);
    for msr in 0..8 {
        assert_eq!(announce(&audit, &set(msr), &mut None), Ok(()));
    }
    disk.set(|content| content.held = false);
    let closed = audit.finish("").unwrap();
    assert_eq!(closed.lost, 6);
    assert_eq!(verify(&*disk.bytes()).unwrap().lost, 6);
}

#[test]
fn a_gap_is_told_where_it_is() {
    let (audit, disk) = trail(Full::Drop, 1);
    disk.set(|content| content.held = true);
    for msr in 0..3 {
        announce(&audit, &set(msr), &mut None).unwrap();
    }
    disk.set(|content| content.held = false);
    // The place is given back behind the line, so this one waits until the queue is empty.
    while audit.queue.place(Duration::from_secs(60)).is_none() {
        std::thread::yield_now();
    }
    announce(&audit, &set(9), &mut None).unwrap();
    audit.finish("").unwrap();
    let lost = disk.lines().into_iter().find(|line| line["type"] == "lost");
    assert_eq!(lost.unwrap()["count"], 2);
    verify(&*disk.bytes()).unwrap();
}

#[test]
fn a_disk_that_is_full_is_as_a_queue_that_is() {
    for (full, answer) in [
        (Full::Refuse, Err(Refusal::Unavailable)),
        (Full::Drop, Ok(())),
    ] {
        let (audit, disk) = trail(full, 1);
        disk.set(|content| content.full = true);
        announce(&audit, &set(1), &mut None).unwrap();
        // Only one place, so the writer has met the disk by the time that it is free.
        assert!(audit.queue.place(Duration::from_secs(60)).is_none());
        assert_eq!(announce(&audit, &set(2), &mut None), answer);
        let closed = audit.finish("").unwrap();
        assert_eq!(closed.hash, None);
        let lost = if full == Full::Drop { 2 } else { 1 };
        assert_eq!(closed.lost, lost);
        assert!(matches!(verify(&*disk.bytes()), Err(Broken::NoEnd(1))));
    }
}

#[test]
fn a_command_without_an_answer_has_a_line_all_the_same() {
    let (audit, disk) = trail(Full::Refuse, 8);
    drop(audit.announce(who(), moment(0), None, &set(1), &mut None));
    audit.finish("").unwrap();
    assert_eq!(disk.lines()[1]["answer"], "unknown");
}

#[test]
fn a_trail_that_nobody_finishes_ends_without_a_closing_line() {
    let (audit, disk) = trail(Full::Refuse, 8);
    announce(&audit, &set(1), &mut None).unwrap();
    drop(audit);
    let error = verify(&*disk.bytes()).unwrap_err();
    assert!(matches!(error, Broken::NoEnd(2)), "{error}");
    assert!(error.to_string().contains("killed or cut"));
}

#[test]
fn what_comes_after_the_end_is_refused() {
    let (audit, _disk) = trail(Full::Refuse, 8);
    audit.finish("").unwrap();
    assert_eq!(
        announce(&audit, &set(1), &mut None),
        Err(Refusal::Unavailable)
    );
    assert_eq!(audit.finish(""), None);
}

fn order(verb: Verb, by: Orderer) -> Order {
    Order {
        by,
        verb,
        policy: "guard".to_owned(),
        time_ns: 9,
        arguments: Map::new(),
    }
}

#[test]
fn an_order_has_who_gave_it_and_what_came_of_it() {
    let (audit, disk) = trail(Full::Refuse, 8);
    let (uid, pid) = (1000, Some(7));
    let swap = audit.order(order(Verb::Swap, Orderer::Socket { uid, pid }));
    let to = Map::from_iter([("to".to_owned(), 2.into())]);
    swap.unwrap().answered(Ok(to));
    let back = audit.order(order(Verb::Rollback, Orderer::Probation));
    back.unwrap().answered(Err("x".repeat(1_000)));
    drop(audit.order(order(Verb::Load, Orderer::Watch)));
    audit.finish("").unwrap();
    let lines = disk.lines();
    let swap = serde_json::json!({
        "n": 1, "type": "order", "who": "operator", "through": "socket", "uid": 1000, "pid": 7,
        "time_ns": 9, "order": "swap", "policy": "guard", "args": {}, "answer": "ok", "to": 2,
        "hash": lines[1]["hash"],
    });
    assert_eq!(lines[1], swap);
    assert_eq!(lines[2]["who"], "oriel");
    assert_eq!(lines[2]["reason"].as_str().map(str::len), Some(400));
    assert_eq!(lines[3]["answer"], "unknown", "nobody said");
    assert!(verify(&*disk.bytes()).is_ok());
}

#[test]
fn with_no_place_nothing_new_is_ordered_and_what_takes_back_is_counted_as_lost() {
    let (audit, disk) = trail(Full::Refuse, 1);
    let only = audit.order(order(Verb::Load, Orderer::Handle)).unwrap();
    for verb in [Verb::Load, Verb::Swap] {
        assert!(audit.order(order(verb, Orderer::Handle)).is_none());
    }
    for verb in [Verb::Unload, Verb::Rollback, Verb::Release] {
        let open = audit.order(order(verb, Orderer::Handle)).unwrap();
        open.answered(Ok(Map::new()));
    }
    only.answered(Ok(Map::new()));
    assert_eq!(audit.finish("").unwrap().lost, 3);
    let lines = disk.lines();
    let orders: Vec<_> = lines.iter().filter_map(|line| line.get("order")).collect();
    assert_eq!(
        orders,
        ["load"],
        "those with no place are counted, not told"
    );
}

#[test]
fn the_operator_is_named_and_no_vcpu_is() {
    let (audit, disk) = trail(Full::Refuse, 8);
    let command = Command {
        who: Who::operator(),
        moment: Moment {
            vcpu: CLOCK,
            ..moment(0)
        },
        name: "stop",
        on: None,
        arguments: serde_json::Map::new(),
    };
    audit.note(command, Ok(()));
    audit.finish("").unwrap();
    let line = &disk.lines()[1];
    assert_eq!(
        (&line["who"], &line["through"]),
        (&"operator".into(), &"handle".into())
    );
    assert_eq!(line["vcpu"], Json::Null);
}

#[test]
fn lines_that_are_taken_out_swapped_or_put_behind_the_end_show() {
    let whole = String::from_utf8(written(6)).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    let join = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let check = |lines: &[&str]| verify(join(lines).as_bytes());
    assert!(check(&lines).is_ok());
    for at in 1..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(at);
        let error = check(&fewer).unwrap_err();
        assert!(
            matches!(error, Broken::Link(line) if line == at as u64 + 1),
            "{error}"
        );
    }
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert!(matches!(check(&swapped), Err(Broken::Link(3))));
    assert!(matches!(check(&lines[1..]), Err(Broken::Link(1))));
    let mut more = lines.clone();
    more.push(lines[1]);
    assert!(matches!(check(&more), Err(Broken::AfterEnd(_))));
    assert!(matches!(check(&[]), Err(Broken::NoHead)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_byte_that_is_changed_shows(commands in 0u32..5, at in any::<prop::sample::Index>(), by in 1u8..=255) {
        let mut bytes = written(commands);
        let at = at.index(bytes.len());
        let line = bytes[..at].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        bytes[at] ^= by;
        let error = verify(&*bytes);
        prop_assert!(error.is_err());
        let named = match error.unwrap_err() {
            Broken::Read { line, .. } | Broken::NoLine(line) | Broken::Link(line) => line,
            Broken::AfterEnd(line) | Broken::Torn(line) | Broken::NoEnd(line) => line,
            Broken::NoHead => 1,
        };
        // A line feed that is changed glues the next line to its own.
        prop_assert!(named == line || named == line + 1, "{named} is not {line}");
    }

    #[test]
    fn a_cut_end_shows_wherever_it_is_cut(commands in 0u32..5, at in any::<prop::sample::Index>()) {
        let bytes = written(commands);
        let cut = &bytes[..at.index(bytes.len())];
        let error = verify(cut).unwrap_err();
        let told = matches!(error, Broken::Torn(_) | Broken::NoEnd(_)) || cut.is_empty();
        prop_assert!(told, "{}", error);
    }
}
