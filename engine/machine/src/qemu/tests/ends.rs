//! How it begins and ends, well or not: leaving, peers that die, debuggers before us, the guard.

use std::{
    error::Error,
    io::{self, Cursor, Read},
};

use super::*;
use crate::qemu::{AttachError, Leave, Repair, RepairError, repair, watch};

fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[test]
fn leaving_takes_everything_away_and_the_vm_runs() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[0x10, 0x20]);
    attached.machine.leave(Leave::Running).unwrap();
    let state = fake.lock();
    assert!(state.running && state.points.is_empty());
    let taken = state.log.iter().filter(|line| line.starts_with("z0"));
    assert_eq!(taken.count(), 2, "{:?}", state.log);
    assert_eq!(state.log.last().map(String::as_str), Some("D"));
}

#[test]
fn dropping_does_the_same() {
    let fake = Fake::new(1, &[]);
    drop(attached(&fake, &[0x10]));
    let state = fake.lock();
    assert!(state.running && state.points.is_empty(), "{:?}", state.log);
}

#[test]
fn a_vm_that_is_to_stand_stays_where_it_is_without_breakpoints() {
    let fake = Fake::new(1, &[]);
    let attached = attached(&fake, &[0x10]);
    attached.machine.leave(Leave::Standing).unwrap();
    let state = fake.lock();
    assert!(!state.running && state.points.is_empty(), "{:?}", state.log);
    assert!(!state.log.contains(&"D".to_owned()));
}

#[test]
fn a_vm_that_somebody_else_pauses_stays_paused_until_somebody_resumes_it() {
    let fake = Arc::new(Fake::new(1, &[Act::Paused]));
    let attached = attached(&fake, &[0x10]);
    let machine = attached.machine.clone();
    let guest = thread::spawn(move || run(attached.parts.vcpus, go_on));
    fake.wait_until(|state| state.acts.is_empty() && !state.running);
    // Something that stops and resumes the world otherwise.
    machine.arm(&wants(&[CODE_GPA + 0x20])).unwrap();
    assert!(!fake.lock().running, "it is not ours to resume");
    fake.play(&[Act::Resumed, Act::Reach(0, code(0x20)), Act::ShutDown]);
    let seen = guest.join().unwrap();
    assert_eq!(ips(&seen[0].0), [code(0x20)]);
}

#[test]
fn a_guest_that_shuts_down_says_so() {
    let fake = Fake::new(2, &[Act::ShutDown]);
    let attached = attached(&fake, &[]);
    for (_, end) in run(attached.parts.vcpus, go_on) {
        let cause = oriel_protocol::events::ShutdownCause::Request;
        assert_eq!(end, End::Shutdown(cause));
    }
}

#[test]
fn a_connection_that_breaks_is_made_again_and_so_is_what_was_armed() {
    for act in [Act::Break, Act::Garbage] {
        let fake = Fake::new(1, &then_the_end(&[act, Act::Reach(0, code(0x10))]));
        let attached = attached(&fake, &[0x10]);
        let seen = run(attached.parts.vcpus, go_on);
        assert_eq!(ips(&seen[0].0), [code(0x10)], "{act:?}");
        assert_eq!(fake.lock().connections, 2, "{act:?}");
    }
}

#[test]
fn another_debugger_is_named_without_connecting() {
    let fake = Fake::new(1, &[]);
    let path = fake.path("gdb");
    fake.lock().chardev = format!("unix:{},server=on", path.display());
    let error = fake.attach(RamChoice::Gdb).connect().unwrap_err();
    assert!(matches!(error, AttachError::Taken(_)), "{error}");
    let (gdb, qmp) = (fake.address("gdb"), fake.address("qmp"));
    assert_eq!(fake.lock().connections, 0);
    fake.lock().chardev = "disconnected:unix:other,".to_owned();
    assert_eq!(repair(&gdb, &qmp, false).unwrap(), Repair::Runs);
}

#[test]
fn what_is_not_there_or_not_x86_is_said() {
    let fake = Fake::new(1, &[]);
    let mut attach = fake.attach(RamChoice::Gdb);
    attach.qmp = fake.address("nowhere");
    let error = words(&attach.connect().unwrap_err());
    assert!(error.contains("-qmp unix:PATH"), "{error}");
    let mut attach = fake.attach(RamChoice::Gdb);
    attach.gdb = fake.address("nowhere");
    let error = words(&attach.connect().unwrap_err());
    assert!(error.contains("-gdb unix:PATH"), "{error}");
    let arm = "<target><architecture>aarch64</architecture></target>";
    fake.lock().description = Some(arm.to_owned());
    let error = words(&fake.attach(RamChoice::Gdb).connect().unwrap_err());
    assert!(error.contains("aarch64"), "{error}");
}

/// What a guard reads from a process that writes this and is killed.
fn killed_after(written: &'static [u8]) -> impl Read {
    Cursor::new(written)
}

#[test]
fn a_guard_frees_the_vm_of_a_process_that_was_killed_and_no_other() {
    let fake = Fake::new(1, &[]);
    let (gdb, qmp) = (fake.address("gdb"), fake.address("qmp"));
    let guard = |written| watch(killed_after(written), io::sink(), &gdb, &qmp);
    fake.lock().points.insert("0,10,1".to_owned());
    assert_eq!(guard(b"rd").unwrap(), Repair::NotNeeded);
    assert_eq!(fake.lock().points.len(), 1, "nothing is touched");
    assert_eq!(guard(b"r").unwrap(), Repair::Runs);
    assert!(fake.lock().points.is_empty() && fake.lock().running);
    assert_eq!(guard(b"rp").unwrap(), Repair::StaysPaused);
    assert!(!fake.lock().running, "somebody else had paused it");
}

#[test]
fn a_vm_that_is_gone_cannot_be_repaired_and_that_takes_no_time() {
    let fake = Fake::new(1, &[]);
    let (gdb, qmp) = (fake.address("gdb"), fake.address("nowhere"));
    let error = repair(&gdb, &qmp, false).unwrap_err();
    assert!(matches!(error, RepairError::Qmp { .. }), "{error}");
}
