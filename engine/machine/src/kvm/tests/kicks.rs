//! Kicks, holds, and arming while the guest runs.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use oriel_guests::SPIN_COUNTERS;
use oriel_protocol::{Event, Refusal, Verdict, events::ShutdownCause, x86::msr};

use super::theatre::{Timer, build, has_kvm, machine, nothing, run, to_the_end, writes_of};
use crate::{End, Exit};

#[test]
fn no_kick_on_a_spinning_guest_is_lost() {
    if !has_kvm() {
        return;
    }
    const KICKS: u32 = 2000;
    let (mut parts, _) = machine("spin", 1);
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    let kicker = vcpu.kicker();
    let letters = AtomicU32::new(0);
    let (said, heard) = mpsc::channel();
    thread::scope(|scope| {
        let letters = &letters;
        scope.spawn(move || {
            let mut read = 0;
            while read < KICKS {
                vcpu.acknowledge_kick();
                timer.check();
                for _ in 0..letters.swap(0, SeqCst) {
                    read += 1;
                    said.send(()).unwrap();
                }
                if read < KICKS {
                    assert_eq!(vcpu.enter(Verdict::Continue).unwrap(), Exit::Kicked);
                }
            }
        });
        for _ in 0..KICKS {
            letters.fetch_add(1, SeqCst);
            kicker.kick();
            heard.recv().unwrap();
        }
    });
}

#[test]
fn a_kick_before_the_first_entry_is_not_lost() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 1);
    let _timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    vcpu.kicker().kick();
    for _ in 0..3 {
        let exit = vcpu.enter(Verdict::Continue).unwrap();
        assert_eq!(exit, Exit::Kicked, "until it is acknowledged");
    }
}

#[test]
fn a_halted_vcpu_is_woken_by_a_kick_and_goes_on_halting() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("halt", 2);
    let timer = Timer::of(&parts);
    let (mut first, mut second) = (parts.vcpus.remove(0), parts.vcpus.remove(0));
    let kicker = first.kicker();
    let (said, heard) = mpsc::channel();
    thread::scope(|scope| {
        let halted = scope.spawn(|| {
            for _ in 0..20 {
                assert_eq!(first.enter(Verdict::Continue).unwrap(), Exit::Kicked);
                first.acknowledge_kick();
                said.send(()).unwrap();
            }
            to_the_end(first.as_mut(), &timer, |_, _| Verdict::Continue)
        });
        for _ in 0..20 {
            kicker.kick();
            heard.recv().unwrap();
        }
        let end = to_the_end(second.as_mut(), &timer, |_, _| Verdict::Continue);
        assert_eq!(end, End::Shutdown(ShutdownCause::Halted));
        assert_eq!(halted.join().unwrap(), end);
    });
}

#[test]
fn the_end_of_one_vcpu_is_the_end_of_a_spinning_one() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 2);
    let timer = Timer::of(&parts);
    parts.machine.arm(&writes_of(msr::STAR)).unwrap();
    let (mut first, mut second) = (parts.vcpus.remove(0), parts.vcpus.remove(0));
    thread::scope(|scope| {
        let spinning = scope.spawn(|| to_the_end(first.as_mut(), &timer, |_, _| Verdict::Continue));
        // Sent to an OUT to the port that ends the guest.
        let memory = parts.machine.memory();
        memory.write_at(0x18_0000, &[0xe7, 0xf4]).unwrap();
        let mut general = second.general().unwrap();
        (general.rip, general.rax) = (0x18_0000, 9);
        second.set_general(&general).unwrap();
        let end = to_the_end(second.as_mut(), &timer, |_, _| Verdict::Continue);
        assert_eq!(end, End::Finished(9));
        assert_eq!(spinning.join().unwrap(), end);
    });
}

#[test]
fn whoever_is_held_does_not_run() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 3);
    let timer = Timer::of(&parts);
    let machine = parts.machine.clone();
    let others: Vec<_> = parts.vcpus.drain(1..).collect();
    let kickers: Vec<_> = others.iter().map(|vcpu| vcpu.kicker()).collect();
    let over = AtomicBool::new(false);
    let counters =
        || [1, 2].map(|vcpu| machine.memory().read_u64(SPIN_COUNTERS + 8 * vcpu).unwrap());
    thread::scope(|scope| {
        for mut vcpu in others {
            let (over, timer) = (&over, &timer);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    vcpu.acknowledge_kick();
                    timer.check();
                    assert_eq!(vcpu.enter(Verdict::Continue).unwrap(), Exit::Kicked);
                }
            });
        }
        for _ in 0..50 {
            let hold = machine.hold_others(0).unwrap();
            let held = counters();
            (0..100_000).for_each(|_| std::hint::spin_loop());
            assert_eq!(counters(), held);
            drop(hold);
            while counters().iter().zip(held).any(|(now, held)| *now == held) {
                timer.check();
                thread::yield_now();
            }
        }
        over.store(true, SeqCst);
        kickers.iter().for_each(|kicker| kicker.kick());
    });
}

#[test]
fn of_two_that_hold_the_others_the_second_is_told_busy() {
    if !has_kvm() {
        return;
    }
    let (parts, _) = machine("spin", 2);
    let hold = parts.machine.hold_others(0).unwrap();
    assert_eq!(parts.machine.hold_others(1).unwrap_err(), Refusal::Busy);
    drop(hold);
    assert!(parts.machine.hold_others(1).is_ok());
}

#[test]
fn a_held_vcpu_serves_kicks_and_runs_on_when_released() {
    if !has_kvm() {
        return;
    }
    let (mut parts, kept) = machine("hello", 2);
    let timer = Timer::of(&parts);
    let mut first = parts.vcpus.remove(0);
    let kicker = first.kicker();
    let hold = parts.machine.hold_others(1).unwrap();
    let (said, heard) = mpsc::channel();
    thread::scope(|scope| {
        let held = scope.spawn(|| {
            for _ in 0..20 {
                assert_eq!(first.enter(Verdict::Continue).unwrap(), Exit::Kicked);
                first.acknowledge_kick();
                said.send(()).unwrap();
            }
            to_the_end(first.as_mut(), &timer, |_, _| Verdict::Continue)
        });
        for _ in 0..20 {
            kicker.kick();
            heard.recv().unwrap();
        }
        assert_eq!(kept.serial_text(), "", "it has not run");
        drop(hold);
        assert_eq!(held.join().unwrap(), End::Finished(0));
    });
}

#[test]
fn two_vcpus_that_hold_each_other_in_turn_never_block_for_good() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(oriel_guests::storm(2, 150));
    parts.machine.arm(&writes_of(msr::STAR)).unwrap();
    let machine = parts.machine.clone();
    let held = AtomicU32::new(0);
    let play = run(parts, &kept, |_, vcpu| {
        match machine.hold_others(vcpu.index()) {
            Ok(_) => held.fetch_add(1, SeqCst),
            Err(error) => {
                assert_eq!(error, Refusal::Busy);
                0
            }
        };
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert!((150..=300).contains(&held.load(SeqCst)));
}

#[test]
fn what_is_armed_while_the_guest_runs_is_reported() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(oriel_guests::storm(2, 2000));
    let machine = parts.machine.clone();
    let (said, heard) = mpsc::channel::<Event>();
    thread::scope(|scope| {
        let arming = machine.clone();
        scope.spawn(move || {
            for _ in 0..10 {
                arming.arm(&writes_of(msr::STAR)).unwrap();
                // The guest goes on writing: sooner or later there is one.
                let Ok(_) = heard.recv() else { return };
                arming.arm(&nothing()).unwrap();
            }
        });
        let play = run(parts, &kept, |event, _| {
            let _ = said.send(event.clone());
            Verdict::Continue
        });
        assert_eq!(play.end(), &End::Finished(0));
        assert!(!play.events.is_empty() && play.events.len() <= 4000);
        drop(said);
    });
}
