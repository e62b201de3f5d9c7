//! A tool beside policies and other tools: each sees what it asked for, nobody weakens another's
//! no, and who goes is missed by nobody.

use std::sync::{Arc, Mutex};

use oriel_engine::{Candidate, Record, record, tool::candidate};
use oriel_machine::{End, mock};
use oriel_protocol::{
    Access, Decision, Dialect, EventKind, Refusal, Value, Verdict,
    commands::{
        vcpu::{GetRegister, GetRegisters, SetRegister, SetRegisters},
        vm::{PageRule, SetPageAccess},
    },
    events::Msr,
    kvmi::Action,
    x86::{Register, msr},
};
use oriel_tests::{
    Ran, Vm, host, load, native, scenario,
    tool::{NAME, Tool, seat, settings},
};

use super::{KERNELS, SHOWS_RBX, WRITES, errno, hear, hear_star};

const MSR: &[EventKind] = &[EventKind::Msr];

/// A VM with these policies and a tool behind them, at the write of STAR.
fn at_star(dialect: Dialect, guest: &str, policies: Vec<Candidate>) -> (Vm, Tool) {
    let judges = policies.into_iter().chain([seat(dialect)]).collect();
    let vm = Vm::of(&scenario(guest), judges);
    let mut tool = vm.hook(NAME);
    hear_star(&mut tool, 0);
    vm.go(1);
    (vm, tool)
}

fn judged(ran: &Ran) -> Vec<&record::Judged> {
    let judged = ran.records.iter().filter_map(|record| {
        let Record::Event(judged) = record else {
            return None;
        };
        Some(&**judged)
    });
    judged.collect()
}

#[test]
fn a_tools_continue_weakens_no_policys_no() {
    let noes = [
        (Verdict::Deny, Some(0)),
        (Verdict::Skip, Some(0)),
        (Verdict::Replace(Value::Word(0)), Some(0)),
        (Verdict::Crash, None),
    ];
    for dialect in KERNELS {
        for (no, left) in noes.clone() {
            let verdict = no.clone();
            let policy = native("policy", MSR, move |_, _| verdict.clone());
            let (vm, mut tool) = at_star(dialect, WRITES, vec![policy]);
            // After a crash, or where nothing is left to change, it is not asked.
            let asked = !matches!(no, Verdict::Crash | Verdict::Replace(_));
            if asked {
                let event = tool.event_of(EventKind::Msr);
                tool.value(&event, 1234);
            }
            let ran = vm.wait();
            let end = left.map_or(End::Stopped, |_| End::Finished(0));
            assert_eq!(ran.outcome.end, end, "{no:?}");
            assert_eq!(ran.reports.first().copied(), left, "{no:?}");
            assert!(tool.is_hung_up_on());
            assert_eq!(tool.events_so_far(), 0, "{no:?}");
        }
    }
}

#[test]
fn a_policys_continue_weakens_no_tools_no() {
    for dialect in KERNELS {
        let policy = native("policy", MSR, |_, _| Verdict::Continue);
        let (vm, mut tool) = at_star(dialect, WRITES, vec![policy]);
        let event = tool.event_of(EventKind::Msr);
        tool.value(&event, 0);
        let ran = vm.wait();
        assert_eq!(ran.reports, [0]);
        let judged = judged(&ran);
        let opinions: Vec<_> = judged[0]
            .judges
            .iter()
            .map(|one| (&*one.judge, one.verdict.clone()))
            .collect();
        let keep = Verdict::Replace(Value::Word(0));
        let expected = [("policy", Verdict::Continue), (NAME, keep.clone())];
        assert_eq!(opinions, expected);
        assert_eq!(judged[0].verdict, keep);
    }
}

#[test]
fn a_tool_is_asked_about_the_value_that_the_policies_left() {
    let policy = native("policy", MSR, |_, _| Verdict::Replace(Value::Word(5)));
    let behind = native("behind", MSR, |case, _| {
        assert_eq!(case.decided, Decision::Replace);
        assert_eq!(case.proposed, Some(Value::Word(5)));
        Verdict::Continue
    });
    let judges = vec![policy, seat(Dialect::V7), behind];
    let vm = Vm::of(&scenario(WRITES), judges);
    let mut tool = vm.hook(NAME);
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    let (msr, old, new) = (msr::STAR, 0, 5);
    assert_eq!(event.data, Msr { msr, old, new }.into());
    tool.value(&event, 6);
    let ran = vm.wait();
    assert_eq!(ran.reports, [5], "the first replacement stands");
    let told = &judged(&ran)[0].conflicts[0];
    assert_eq!(
        (&*told.standing, &*told.lost),
        ("policy", NAME),
        "and the other is told of"
    );
}

#[test]
fn each_hears_what_it_asked_for() {
    let guest = "
        [[step]]
        event = \"msr\"
        msr = \"star\"
        value = 9
        [[step]]
        event = \"hypercall\"
        number = 34
        a = 24
        [[step]]
        event = \"cpuid\"
        function = 0
        [[step]]
        finish = 0";
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let heard = kinds.clone();
    let policy = native(
        "policy",
        &[EventKind::Cpuid, EventKind::Msr],
        move |case, _| {
            let kind = case.event.kind();
            heard.lock().expect("no panics").push(kind);
            Verdict::Continue
        },
    );
    let vm = Vm::of(&scenario(guest), vec![policy, seat(Dialect::V7)]);
    let mut tool = vm.hook(NAME);
    hear(&mut tool, 0, EventKind::Hypercall);
    vm.go(1);
    let call = tool.event_of(EventKind::Hypercall);
    tool.go_on(&call);
    let ran = vm.wait();
    assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 3));
    let kinds = kinds.lock().expect("no panics");
    assert_eq!(*kinds, [EventKind::Msr, EventKind::Cpuid]);
    assert!(tool.is_hung_up_on());
    assert_eq!(tool.events_so_far(), 0);
}

#[test]
fn a_register_that_a_policy_has_set_is_busy_for_the_tool() {
    for dialect in KERNELS {
        let policy = native("policy", MSR, |_, desk| {
            let (register, value) = (Register::Rbx, 7);
            let set = desk.on(0, SetRegister { register, value });
            assert_eq!(set, Ok(()));
            Verdict::Continue
        });
        let (vm, mut tool) = at_star(dialect, SHOWS_RBX, vec![policy]);
        let event = tool.event_of(EventKind::Msr);
        let mut general = event.snapshot.general;
        assert_eq!(general.rbx, 7, "the tool sees it");
        general.rbx = 8;
        let refused = tool.on(0, SetRegisters { general });
        assert_eq!(refused, Err(errno::BUSY));
        (general.rbx, general.rcx) = (7, 1);
        assert_eq!(tool.on(0, SetRegisters { general }), Ok(()), "it may agree");
        tool.go_on(&event);
        assert_eq!(vm.wait().reports, [7]);
    }
}

#[test]
fn a_register_that_the_tool_has_set_is_a_conflict_for_a_policy_behind_it() {
    let policy = native("behind", MSR, |_, desk| {
        let register = Register::Rbx;
        assert_eq!(desk.on(0, GetRegister { register }), Ok(5));
        let set = desk.on(0, SetRegister { register, value: 6 });
        assert_eq!(set, Err(Refusal::Conflict));
        Verdict::Continue
    });
    let vm = Vm::of(&scenario(SHOWS_RBX), vec![seat(Dialect::V7), policy]);
    let mut tool = vm.hook(NAME);
    hear_star(&mut tool, 0);
    vm.go(1);
    let event = tool.event_of(EventKind::Msr);
    let mut general = event.snapshot.general;
    general.rbx = 5;
    assert_eq!(tool.on(0, SetRegisters { general }), Ok(()));
    tool.go_on(&event);
    assert_eq!(vm.wait().reports, [5]);
}

#[test]
fn a_page_that_one_opens_stays_closed_for_the_others() {
    let guest = "
        [[step]]
        event = \"page\"
        access = \"write\"
        gva = 0x6010
        value = 0x77
        [[step]]
        finish = 0";
    let names = ["first", "second"];
    let seats = names.map(|name| candidate(name, settings(Dialect::V7)));
    let vm = Vm::of(&scenario(guest), seats.into());
    let mut tools = names.map(|name| vm.hook(name));
    let rule = |allowed| {
        let (view, gpa, tag) = (0, 0x6000, 0);
        let entries = vec![PageRule { gpa, allowed, tag }];
        SetPageAccess { view, entries }
    };
    for tool in &mut tools {
        hear(tool, 0, EventKind::Page);
        assert_eq!(tool.vm(rule(Access::READ)), Ok(()));
    }
    let [first, second] = &mut tools;
    assert_eq!(first.vm(rule(Access::ALL)), Ok(()));
    vm.go(1);
    let event = second.event_of(EventKind::Page);
    second.go_on(&event);
    let ran = vm.wait();
    assert_eq!((ran.outcome.end, ran.outcome.events), (End::Finished(0), 1));
    assert!(first.is_hung_up_on());
    assert_eq!(first.events_so_far(), 0);
}

/// `msr-guard` in front of a tool that would let the attack through.
#[test]
fn a_sandboxed_policy_denies_what_a_tool_lets_through() {
    for dialect in KERNELS {
        let host = host();
        let attack = mock::builtin("msr-attack").expect("built in");
        let guard = load("msr-guard").candidate(&host);
        let vm = Vm::of(&attack, vec![guard, seat(dialect)]);
        let mut tool = vm.hook(NAME);
        hear(&mut tool, 0, EventKind::Msr);
        let control = oriel_protocol::commands::vcpu::ControlMsr {
            msr: msr::LSTAR,
            enable: true,
        };
        assert_eq!(tool.on(0, control), Ok(()));
        vm.go(1);
        for _ in 0..2 {
            let event = tool.event_of(EventKind::Msr);
            tool.go_on(&event);
        }
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0));
        assert_eq!(ran.reports.first(), Some(&0xffff_ffff_81e0_0080));
        assert!(ran.verdicts().contains(&(EventKind::Msr, Verdict::Deny)));
        assert_eq!(ran.alerts().len(), 1);
    }
}

#[test]
fn killing_the_tool_in_an_event_leaves_the_policies_judging_without_a_gap() {
    const WRITTEN: u64 = 200;
    let guest = format!(
        "
        [[step]]
        event = \"msr\"
        msr = \"star\"
        value = 9
        repeat = {WRITTEN}
        [[step]]
        event = \"msr\"
        msr = \"lstar\"
        value = 9
        repeat = {WRITTEN}
        [[step]]
        finish = 0"
    );
    for dialect in KERNELS {
        let seqs = [(); 2].map(|()| Arc::new(Mutex::new(Vec::new())));
        let mut judges: Vec<_> = ["before", "behind"]
            .into_iter()
            .zip(&seqs)
            .map(|(name, seqs)| {
                let seqs = seqs.clone();
                native(name, MSR, move |case, _| {
                    seqs.lock().expect("no panics").push(case.moment.seq);
                    Verdict::Replace(Value::Word(case.moment.seq))
                })
            })
            .collect();
        judges.insert(1, seat(dialect));
        let vm = Vm::of(&scenario(&guest), judges);
        let mut tool = vm.hook(NAME);
        hear_star(&mut tool, 0);
        vm.go(1);
        for _ in 0..WRITTEN / 2 {
            let event = tool.event_of(EventKind::Msr);
            tool.go_on(&event);
        }
        let _open = tool.event_of(EventKind::Msr);
        let _ = tool.hang_up();
        let ran = vm.wait();
        assert_eq!(ran.outcome.end, End::Finished(0), "{dialect:?}");
        assert_eq!(ran.outcome.events, 2 * WRITTEN);
        let all: Vec<_> = (1..=2 * WRITTEN).collect();
        for seqs in &seqs {
            assert_eq!(*seqs.lock().expect("no panics"), all, "{dialect:?}");
        }
        let told = judged(&ran).into_iter().map(|one| one.moment.seq);
        assert_eq!(told.collect::<Vec<_>>(), all);
        let asked = |one: &&record::Judged| one.judges.iter().any(|by| &*by.judge == NAME);
        let by_tool = judged(&ran).iter().filter(|one| asked(one)).count();
        assert_eq!(by_tool as u64, WRITTEN / 2 + 1);
        assert!(ran.failures().is_empty());
    }
}

#[test]
fn two_tools_of_two_dialects_both_answer_and_the_stricter_wins() {
    let names = [("old", Dialect::V6), ("new", Dialect::V12)];
    for keeps in 0..2 {
        let seats = names.map(|(name, dialect)| candidate(name, settings(dialect)));
        let vm = Vm::of(&scenario(WRITES), seats.into());
        let mut tools = names.map(|(name, _)| vm.hook(name));
        tools.iter_mut().for_each(|tool| hear_star(tool, 0));
        vm.go(1);
        for (nth, tool) in tools.iter_mut().enumerate() {
            let event = tool.event_of(EventKind::Msr);
            assert_eq!(event.seq, 1, "each wire has its own numbers");
            let registers = tool.on(0, GetRegisters { msrs: vec![] });
            assert!(registers.is_ok(), "while its own event is open");
            let value = if nth == keeps { 0 } else { 9 };
            tool.value(&event, value);
            if value == 0 {
                // Nothing is left to change, so nobody further is asked.
                break;
            }
        }
        assert_eq!(vm.wait().reports, [0], "keeping wins over going on");
    }
}

#[test]
fn a_tool_that_crashes_the_vm_is_the_last_that_is_asked() {
    let names = ["first", "second"];
    let seats = names.map(|name| candidate(name, settings(Dialect::V7)));
    let vm = Vm::of(&scenario(WRITES), seats.into());
    let [mut first, mut second] = names.map(|name| vm.hook(name));
    hear_star(&mut first, 0);
    hear_star(&mut second, 0);
    vm.go(1);
    let event = first.event_of(EventKind::Msr);
    first.act(&event, Action::Crash);
    assert_eq!(vm.wait().outcome.end, End::Stopped);
    assert!(second.is_hung_up_on());
    assert_eq!(second.events_so_far(), 0);
}

#[test]
fn a_tool_that_goes_leaves_another_ones_event_open() {
    let names = ["first", "second"];
    let seats = names.map(|name| candidate(name, settings(Dialect::V7)));
    let vm = Vm::of(&scenario(WRITES), seats.into());
    let [mut first, mut second] = names.map(|name| vm.hook(name));
    hear_star(&mut first, 0);
    hear_star(&mut second, 0);
    vm.go(1);
    let event = first.event_of(EventKind::Msr);
    let _ = second.hang_up();
    first.sync();
    first.value(&event, 77);
    assert_eq!(vm.wait().reports, [77]);
}

#[test]
fn registers_set_outside_of_ones_own_event_are_refused_in_anothers() {
    let names = ["first", "second"];
    let seats = names.map(|name| candidate(name, settings(Dialect::V7)));
    let vm = Vm::of(&scenario(SHOWS_RBX), seats.into());
    let [mut first, mut second] = names.map(|name| vm.hook(name));
    hear_star(&mut first, 0);
    vm.go(1);
    let event = first.event_of(EventKind::Msr);
    let mut general = event.snapshot.general;
    general.rbx = 5;
    let refused = second.on(0, SetRegisters { general });
    assert_eq!(refused, Err(errno::OPNOTSUPP));
    first.go_on(&event);
    assert_eq!(vm.wait().reports, [0]);
}
