//! How guests end, and what they say before.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use oriel_guests::{ATTACKER_ENTRY, PIO_TEXT};
use oriel_protocol::{EventKind, Verdict, events::Shutdown, events::ShutdownCause};

use super::theatre::{all_of, continues, has_kvm, nothing, play};
use crate::End;

#[test]
fn hello_prints_and_ends_with_its_number() {
    if !has_kvm() {
        return;
    }
    let play = play("hello", 1, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.serial, "hello from the guest\n");
    assert!(play.events.is_empty());
}

#[test]
fn an_attack_that_nobody_watches_succeeds() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-attack", 1, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [ATTACKER_ENTRY, 0]);
    assert_eq!(play.serial.lines().count(), 2);
}

#[test]
fn every_guest_runs_on_two_vcpus_to_the_same_end() {
    if !has_kvm() {
        return;
    }
    for name in [
        "hello",
        "msr-attack",
        "msr-attack-2",
        "msr-storm",
        "msr-verdicts",
        "pio",
        "mmio",
    ] {
        let play = play(name, 2, &nothing(), continues);
        assert_eq!(play.end(), &End::Finished(0), "{name}");
    }
}

#[test]
fn a_triple_fault_ends_the_vm() {
    if !has_kvm() {
        return;
    }
    let play = play("triple-fault", 2, &nothing(), continues);
    assert_eq!(play.end(), &End::Shutdown(ShutdownCause::TripleFault));
}

#[test]
fn the_last_vcpu_to_halt_ends_the_vm() {
    if !has_kvm() {
        return;
    }
    for vcpus in [1, 3] {
        let play = play("halt", vcpus, &nothing(), continues);
        assert_eq!(play.end(), &End::Shutdown(ShutdownCause::Halted));
    }
}

#[test]
fn each_way_to_end_is_one_shutdown_event_where_wanted() {
    if !has_kvm() {
        return;
    }
    let ways = [
        ("hello", ShutdownCause::Request, End::Finished(0)),
        (
            "triple-fault",
            ShutdownCause::TripleFault,
            End::Shutdown(ShutdownCause::TripleFault),
        ),
        (
            "halt",
            ShutdownCause::Halted,
            End::Shutdown(ShutdownCause::Halted),
        ),
    ];
    for (name, cause, end) in ways {
        let play = play(name, 2, &all_of(&[EventKind::Shutdown]), continues);
        assert_eq!(play.end(), &end, "{name}");
        assert_eq!(play.events.len(), 1, "{name}");
        assert_eq!(play.events[0].1.data, Shutdown { cause }.into());
    }
}

#[test]
fn a_crash_verdict_on_the_end_is_the_end_that_counts() {
    if !has_kvm() {
        return;
    }
    let play = play("hello", 1, &all_of(&[EventKind::Shutdown]), |_, _| {
        Verdict::Crash
    });
    assert_eq!(play.end(), &End::Stopped);
}

#[test]
fn a_reset_begins_anew_with_memory_as_it_was_loaded() {
    if !has_kvm() {
        return;
    }
    let resets = AtomicU32::new(0);
    let play = play(
        "reset",
        2,
        &all_of(&[EventKind::Reset]),
        |_, _| match resets.fetch_add(1, SeqCst) {
            0..3 => Verdict::Continue,
            _ => Verdict::Crash,
        },
    );
    assert_eq!(play.end(), &End::Stopped);
    assert_eq!(
        play.values(),
        [1, 1, 1, 1],
        "the guest counts its boots in memory"
    );
    assert_eq!(play.kinds(), [EventKind::Reset; 4]);
}

#[test]
fn an_instruction_that_kvm_lacks_is_named() {
    if !has_kvm() {
        return;
    }
    let play = play("unemulatable", 1, &nothing(), continues);
    if *play.end() == End::Finished(0) {
        return eprintln!("SKIPPED: this KVM runs POPCNT");
    }
    let End::Crashed(text) = play.end() else {
        panic!("{:?}", play.end());
    };
    assert!(text.contains("`popcnt rax, rbx` at 0x10"), "{text}");
    assert!(text.contains("(bytes f3 48 0f b8 c3)"), "{text}");
    println!("{text}");
}

#[test]
fn a_string_instruction_prints_what_single_ones_would() {
    if !has_kvm() {
        return;
    }
    assert_eq!(play("pio", 1, &nothing(), continues).serial, PIO_TEXT);
}
