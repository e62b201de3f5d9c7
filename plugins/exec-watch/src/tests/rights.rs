//! Each right, refused.

use oriel_sdk::testing::Command;
use oriel_sdk::{Place, Policy, Refusal};

use super::*;
use crate::ExecWatch;

#[test]
fn without_the_rights_to_look_and_to_break_no_instance_begins() -> Result<(), Failure> {
    for (command, words) in [
        (Command::Kernel, "grant `guest-os`"),
        (Command::FindVariants, "grant `guest-os`"),
        (Command::FindField, "grant `guest-os`"),
        (Command::Locate, "cannot be broken at: refused"),
        (Command::SetBreakpoint, "cannot be broken at: refused"),
    ] {
        let mut guest = Forged::new(all())?;
        guest.bench.engine.armed = Default::default();
        guest.bench.engine.refuse(command, Refusal::Denied);
        let begun = ExecWatch::init(&mut all(), Place::Vcpu(0), &mut guest.bench.engine);
        let said = begun.err().map(String::from).unwrap_or_default();
        assert!(said.contains(words), "{command:?}: {said}");
    }
    Ok(())
}

#[test]
fn without_the_right_to_read_an_exec_is_unknown_and_is_refused() -> Result<(), Failure> {
    for command in [Command::ReadVirtual, Command::GetRegister] {
        let mut guest = Forged::new(denying("/opt/evil"))?;
        let binprm = guest.binprm(&Asked::default())?;
        guest.bench.engine.refuse(command, Refusal::Denied);
        guest.hit(binprm);
        assert!(line(&guest).starts_with("path=\"unknown\""), "{command:?}");
        let words = "a program was to run whose path cannot be told";
        assert!(alert(&guest).message.starts_with(words));
    }
    let mut guest = Forged::new(all())?;
    let binprm = guest.binprm(&Asked::default())?;
    guest
        .bench
        .engine
        .refuse(Command::ReadVirtualIn, Refusal::Denied);
    guest.hit(binprm);
    assert!(line(&guest).contains("arguments=[unknown]"));
    Ok(())
}

#[test]
fn without_the_right_to_ask_who_it_is_the_exec_is_told_of_all_the_same() -> Result<(), Failure> {
    let mut guest = Forged::new(all())?;
    let binprm = guest.binprm(&Asked::default())?;
    guest
        .bench
        .engine
        .refuse(Command::FindTask, Refusal::Denied);
    guest.hit(binprm);
    assert!(
        line(&guest).contains("pid=41 tgid=41 comm=\"forked\" parent=40 parent-comm=\"unknown\"")
    );
    guest
        .bench
        .engine
        .refuse(Command::CurrentTask, Refusal::Denied);
    guest.hit(binprm);
    let told = "pid=unknown tgid=unknown comm=\"unknown\" parent=unknown";
    assert!(line(&guest).contains(told), "{}", line(&guest));
    Ok(())
}

#[test]
fn an_alert_that_is_refused_is_logged_whole_and_the_verdict_stands() -> Result<(), Failure> {
    let mut guest = Forged::new(denying("/bin/busybox"))?;
    let binprm = guest.binprm(&Asked::default())?;
    guest.bench.engine.refuse(Command::Alert, Refusal::Limit);
    assert_eq!(guest.hit(binprm), Verdict::Retry);
    let errors = guest.bench.engine.log.iter();
    let mut errors = errors.filter(|(level, _)| *level == Level::Error);
    let (_, error) = errors.next().ok_or("no line")?;
    assert!(
        error.contains("(no alert: limit): exec path=\"/bin/ls\""),
        "{error}"
    );
    Ok(())
}
