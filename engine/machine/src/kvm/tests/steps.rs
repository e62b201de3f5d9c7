//! Single-stepping: one event for each instruction, whatever exits it takes, and the guest none
//! the wiser.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};
use oriel_guests::{Guest, SPIN_COUNTERS, STAR_FIRST, STAR_SECOND, TICKS};
use oriel_protocol::{
    Event, EventKind, EventSet, Value, Verdict, VerdictSet,
    x86::{Exception, msr},
};

use super::theatre::{Play, all_of, build, continues, has_kvm, machine, nothing, play, run};
use crate::{ArmError, End, Exit, Vcpu, Wants};

/// Wants steps of vCPU 0, and these kinds.
fn stepping(kinds: &[EventKind]) -> Wants {
    let mut wants = all_of(kinds);
    wants.events.insert(EventKind::Singlestep);
    wants.singlestep = vec![0];
    wants
}

fn is_step(event: &Event) -> bool {
    event.kind() == EventKind::Singlestep
}

fn guest(name: &str) -> Guest {
    oriel_guests::by_name(name, 1).unwrap()
}

fn instruction(guest: &Guest, ip: u64) -> Instruction {
    let at = usize::try_from(ip - guest.load).unwrap();
    Decoder::with_ip(64, &guest.image[at..], ip, DecoderOptions::NONE).decode()
}

/// Whether an instruction at `from` can leave the vCPU at `to`.
fn leads(guest: &Guest, from: u64, to: u64) -> bool {
    let instruction = instruction(guest, from);
    let next = instruction.next_ip() == to;
    let jumps = instruction.near_branch_target() == to;
    match instruction.flow_control() {
        FlowControl::Next => next || (instruction.has_rep_prefix() && from == to),
        FlowControl::ConditionalBranch => next || jumps,
        FlowControl::UnconditionalBranch => jumps,
        FlowControl::IndirectBranch | FlowControl::Return | FlowControl::Call => false,
        FlowControl::IndirectCall | FlowControl::Interrupt | FlowControl::Exception => false,
        FlowControl::XbeginXabortXend => false,
    }
}

/// Steps a guest: every step has to lead to the next.
fn follow(guest: &Guest, play: &Play) -> usize {
    let mut at = guest.entry;
    let mut steps = 0;
    for (_, event) in play.events.iter().filter(|(_, event)| is_step(event)) {
        assert!(
            leads(guest, at, event.ip),
            "a step from {at:#x} to {:#x}",
            event.ip
        );
        assert!(event.retired);
        assert_eq!(event.allowed, EventKind::Singlestep.verdicts());
        (at, steps) = (event.ip, steps + 1);
    }
    assert_eq!(instruction(guest, at).mnemonic(), Mnemonic::Out);
    steps
}

#[test]
fn every_instruction_is_one_step_whatever_exits_it_takes() {
    if !has_kvm() {
        return;
    }
    for name in ["hello", "pio", "mmio", "msr-attack"] {
        let unwatched = play(name, 1, &nothing(), continues);
        let kinds = [
            EventKind::Pio,
            EventKind::Mmio,
            EventKind::Msr,
            EventKind::MsrRead,
        ];
        let mut steps = Vec::new();
        for kinds in [&[][..], &kinds] {
            let stepped = play(name, 1, &stepping(kinds), continues);
            assert_eq!(stepped.end(), &End::Finished(0), "{name}");
            assert_eq!(stepped.reports, unwatched.reports, "{name}");
            assert_eq!(stepped.serial, unwatched.serial, "{name}");
            let others: EventSet = stepped
                .events
                .iter()
                .filter(|(_, event)| !is_step(event))
                .map(|(_, event)| event.kind())
                .collect();
            assert!(kinds.is_empty() || !others.is_empty(), "{name}");
            steps.push(follow(&guest(name), &stepped));
        }
        assert!(steps[0] > 10 && steps[0] == steps[1], "{name}: {steps:?}");
    }
}

#[test]
fn an_instruction_that_is_tried_again_or_faults_is_no_step() {
    if !has_kvm() {
        return;
    }
    let asked = AtomicU32::new(0);
    let wants = stepping(&[EventKind::Msr]);
    let play = play("msr-verdicts", 1, &wants, |event, _| {
        if event.data.proposed() != Some(Value::Word(STAR_SECOND)) {
            return Verdict::Continue;
        }
        match asked.fetch_add(1, SeqCst) {
            0 | 1 => Verdict::Retry,
            _ => Verdict::Deny,
        }
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.values()[..3],
        [STAR_FIRST & 0xffff_ffff, STAR_FIRST >> 32, 1]
    );
    let at = |event: &Event| event.data.proposed() == Some(Value::Word(STAR_SECOND));
    let first = play.events.iter().position(|(_, event)| at(event)).unwrap();
    let kinds = &play.kinds()[first..first + 4];
    let msr = EventKind::Msr;
    assert_eq!(kinds, [msr, msr, msr, EventKind::Singlestep], "one each");
}

#[test]
fn a_skipped_instruction_is_a_step() {
    if !has_kvm() {
        return;
    }
    let wants = stepping(&[EventKind::Msr]);
    let play = play("msr-verdicts", 1, &wants, |event, _| {
        if event.kind() == EventKind::Msr {
            Verdict::Skip
        } else {
            Verdict::Continue
        }
    });
    assert_eq!(play.end(), &End::Finished(0));
    let write = play.kinds().iter().position(|kind| *kind == EventKind::Msr);
    let [(_, write), (_, step)] = &play.events[write.unwrap()..write.unwrap() + 2] else {
        panic!("two events");
    };
    assert_eq!(
        (step.kind(), step.ip),
        (EventKind::Singlestep, write.ip + 2)
    );
}

#[test]
fn a_judge_moves_the_vcpu_while_it_is_stepped_and_keeps_control() {
    if !has_kvm() {
        return;
    }
    let moved = AtomicBool::new(false);
    let play = play("msr-attack", 1, &stepping(&[]), |event, vcpu| {
        if instruction(&guest("msr-attack"), event.ip).mnemonic() == Mnemonic::Wrmsr {
            let mut general = vcpu.general().unwrap();
            general.rip += 2;
            vcpu.set_general(&general).unwrap();
            moved.store(true, SeqCst);
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [0, 0], "LSTAR was never written");
    let behind = |ip: u64| instruction(&guest("msr-attack"), ip - 2).mnemonic() == Mnemonic::Wrmsr;
    let over = play.events.iter().filter(|(_, event)| behind(event.ip));
    assert_eq!(over.count(), 0, "control was never lost, and no WRMSR ran");
    assert!(moved.load(SeqCst));
}

#[test]
fn an_exception_is_injected_after_a_step() {
    if !has_kvm() {
        return;
    }
    let undefined = Exception {
        vector: 6,
        error_code: None,
        address: 0,
    };
    let injected = AtomicBool::new(false);
    let guest = guest("msr-verdicts");
    let play = play(
        "msr-verdicts",
        1,
        &stepping(&[EventKind::Trap]),
        |event, _| {
            let here =
                is_step(event) && instruction(&guest, event.ip).mnemonic() == Mnemonic::Rdmsr;
            match here && !injected.swap(true, SeqCst) {
                true => Verdict::Inject(undefined),
                false => Verdict::Continue,
            }
        },
    );
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.values()[3],
        1,
        "the guest took #UD, and skipped the RDMSR"
    );
    let told = play
        .kinds()
        .iter()
        .filter(|kind| **kind == EventKind::Trap)
        .count();
    assert_eq!(told, 1);
}

#[test]
fn a_running_vcpu_is_stepped_from_the_moment_that_arming_returns() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 2);
    let machine = parts.machine.clone();
    let timer = super::theatre::Timer::of(&parts);
    let mut vcpus = parts.vcpus.drain(..);
    let (mut first, mut second) = (vcpus.next().unwrap(), vcpus.next().unwrap());
    let kicker = second.kicker();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let exit = second.enter(Verdict::Continue).unwrap();
            assert_eq!(exit, Exit::Kicked, "nobody steps vCPU 1");
        });
        let stepped = scope.spawn(move || {
            let mut steps = 0;
            while steps < 50 {
                first.acknowledge_kick();
                timer.check();
                match first.enter(Verdict::Continue).unwrap() {
                    Exit::Event(event) => steps += u32::from(is_step(&event)),
                    Exit::Kicked => {}
                    other @ Exit::Ended(_) => panic!("{other:?}"),
                }
            }
        });
        let counter = || machine.memory().read_u64(SPIN_COUNTERS).unwrap();
        while counter() < 100 {
            std::thread::yield_now();
        }
        machine.arm(&stepping(&[])).unwrap();
        stepped.join().unwrap();
        kicker.kick();
    });
}

#[test]
fn stepping_a_vcpu_that_is_not_there_is_refused() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(guest("msr-verdicts"));
    let mut wants = stepping(&[]);
    wants.singlestep = vec![1];
    let error = parts.machine.arm(&wants).unwrap_err();
    assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("vCPU 1"), "{error}");
    parts
        .machine
        .arm(&super::theatre::writes_of(msr::STAR))
        .unwrap();
    assert_eq!(run(parts, &kept, continues).events.len(), 2);
}

/// Longer than it takes the guest's timer to tick a few times, at 100 Hz.
const SOME_TICKS: Duration = Duration::from_millis(60);

#[test]
fn interrupts_stay_out_while_a_vcpu_is_stepped_and_come_behind_it() {
    if !has_kvm() {
        return;
    }
    let guest = guest("busy-ticks");
    let within = guest.mark("wait").unwrap()..guest.mark("over").unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let row = machine.capabilities();
    if !row
        .get("singlestep")
        .unwrap()
        .mechanism
        .contains("BLOCKIRQ")
    {
        eprintln!("SKIPPED: this KVM does not hold interrupts off a step");
        return;
    }
    machine.arm(&stepping(&[])).unwrap();
    let (begun, steps) = (OnceLock::new(), AtomicU32::new(0));
    let play = run(parts, &kept, |event, _| {
        if begun.get().is_none() && event.ip != within.start {
            return Verdict::Continue;
        }
        let begun = begun.get_or_init(Instant::now);
        assert!(within.contains(&event.ip), "{:#x} is a handler's", event.ip);
        if steps.fetch_add(1, SeqCst) > 100 && begun.elapsed() > SOME_TICKS {
            machine.arm(&Wants::default()).unwrap();
        }
        Verdict::Continue
    });
    assert_eq!(
        (play.end(), play.values()),
        (&End::Finished(0), vec![TICKS])
    );
}

#[test]
fn steps_end_when_they_are_disarmed_from_within_one() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = machine("msr-attack", 1);
    let shared = parts.machine.clone();
    shared.arm(&stepping(&[])).unwrap();
    let play = run(parts, &kept, |event, _: &mut dyn Vcpu| {
        assert!(event.allowed.contains(VerdictSet::INJECT));
        shared.arm(&Wants::default()).unwrap();
        Verdict::Continue
    });
    assert_eq!((play.end(), play.events.len()), (&End::Finished(0), 1));
}
