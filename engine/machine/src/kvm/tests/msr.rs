//! Verdicts on MSR accesses, with their effect as the guest sees it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use oriel_guests::{ATTACKER_ENTRY, KERNEL_ENTRY, RAX_BEFORE, RDX_BEFORE, STAR_FIRST, STAR_SECOND};
use oriel_protocol::{
    Event, EventData, EventKind, Value, Verdict,
    events::{Msr, MsrRead},
    x86::{Exception, msr},
};

use super::theatre::{
    Play, all_of, build, continues, has_kvm, machine, play, reads_of, run, writes_of,
};
use crate::{ArmError, End, Vcpu};

/// What `msr-verdicts` reports.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    rax: u64,
    rdx: u64,
    general_protection: u64,
    undefined: u64,
    page_fault: u64,
    cr2: u64,
}

/// What the guest sees of STAR where nothing interferes.
const fn star(value: u64) -> Seen {
    Seen {
        rax: value & 0xffff_ffff,
        rdx: value >> 32,
        general_protection: 0,
        undefined: 0,
        page_fault: 0,
        cr2: 0,
    }
}

fn seen(play: &Play) -> Seen {
    assert_eq!(play.end(), &End::Finished(0));
    let [rax, rdx, general_protection, undefined, page_fault, cr2] = play.values()[..] else {
        panic!("six reports, not {:?}", play.reports);
    };
    Seen {
        rax,
        rdx,
        general_protection,
        undefined,
        page_fault,
        cr2,
    }
}

fn word(value: u64) -> Verdict {
    Verdict::Replace(Value::Word(value))
}

/// Runs the guest with this answer to its second write.
fn second_write(verdict: Verdict) -> Play {
    play(
        "msr-verdicts",
        1,
        &writes_of(msr::STAR),
        |event, _| match event.data.proposed() {
            Some(Value::Word(STAR_SECOND)) => verdict.clone(),
            _ => Verdict::Continue,
        },
    )
}

/// Runs the guest with this answer to its read.
fn read(verdict: Verdict) -> Play {
    play("msr-verdicts", 1, &reads_of(msr::STAR), |_, _| {
        verdict.clone()
    })
}

#[test]
fn a_write_is_an_event_with_its_old_and_its_new_value() {
    if !has_kvm() {
        return;
    }
    let play = second_write(Verdict::Continue);
    assert_eq!(seen(&play), star(STAR_SECOND));
    let data: Vec<EventData> = play.events.iter().map(|(_, event)| event.data).collect();
    let write = |old, new| -> EventData {
        Msr {
            msr: msr::STAR,
            old,
            new,
        }
        .into()
    };
    assert_eq!(data, [write(0, STAR_FIRST), write(STAR_FIRST, STAR_SECOND)]);
    let event = &play.events[1].1;
    assert!((0x10_0000..0x10_1000).contains(&event.ip) && !event.retired);
    assert_eq!((event.cr3, event.cpl), (0x2000, 0));
    assert_eq!(event.allowed, EventKind::Msr.verdicts());
}

#[test]
fn deny_on_a_write_faults_and_keeps_the_old_value() {
    if !has_kvm() {
        return;
    }
    let expected = Seen {
        general_protection: 1,
        ..star(STAR_FIRST)
    };
    assert_eq!(seen(&second_write(Verdict::Deny)), expected);
}

#[test]
fn skip_and_keep_on_a_write_leave_the_old_value_without_a_fault() {
    if !has_kvm() {
        return;
    }
    for verdict in [Verdict::Skip, word(STAR_FIRST)] {
        assert_eq!(seen(&second_write(verdict)), star(STAR_FIRST));
    }
}

#[test]
fn replace_on_a_write_writes_the_other_value() {
    if !has_kvm() {
        return;
    }
    assert_eq!(seen(&second_write(word(0x77))), star(0x77));
}

#[test]
fn inject_on_a_write_raises_the_exception_at_the_instruction() {
    if !has_kvm() {
        return;
    }
    let undefined = Exception {
        vector: 6,
        error_code: None,
        address: 0,
    };
    // The handler skips two bytes from where the exception was raised: were that not the WRMSR,
    // the guest would not arrive at its reports.
    let expected = Seen {
        undefined: 1,
        ..star(STAR_FIRST)
    };
    assert_eq!(seen(&second_write(Verdict::Inject(undefined))), expected);

    let page_fault = Exception {
        vector: 14,
        error_code: Some(2),
        address: 0xdead_0000,
    };
    let expected = Seen {
        page_fault: 1,
        cr2: 0xdead_0000,
        ..star(STAR_FIRST)
    };
    assert_eq!(seen(&second_write(Verdict::Inject(page_fault))), expected);
}

#[test]
fn retry_on_a_write_brings_the_same_event_again() {
    if !has_kvm() {
        return;
    }
    let asked = AtomicU32::new(0);
    let play = play("msr-verdicts", 1, &writes_of(msr::STAR), |_, _| match asked
        .fetch_add(1, SeqCst)
    {
        1..4 => Verdict::Retry,
        _ => Verdict::Continue,
    });
    assert_eq!(seen(&play), star(STAR_SECOND));
    assert_eq!(play.events.len(), 5);
    assert!(play.events[1..].windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn crash_ends_the_vm_for_all_vcpus() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-storm", 2, &writes_of(msr::STAR), |_, _| Verdict::Crash);
    assert_eq!(play.end(), &End::Stopped);
    assert!(play.values().is_empty());
}

#[test]
fn a_read_is_an_event_with_its_value_and_takes_each_verdict() {
    if !has_kvm() {
        return;
    }
    let continued = read(Verdict::Continue);
    assert_eq!(seen(&continued), star(STAR_SECOND));
    let data = MsrRead {
        msr: msr::STAR,
        value: STAR_SECOND,
    };
    assert_eq!(continued.events[0].1.data, data.into());

    assert_eq!(
        seen(&read(word(0x1_0000_0002))),
        Seen {
            rax: 2,
            rdx: 1,
            ..star(0)
        }
    );
    // Where the instruction has no effect or faults, RAX and RDX stay whole, upper halves too.
    let before = Seen {
        rax: RAX_BEFORE,
        rdx: RDX_BEFORE,
        ..star(0)
    };
    assert_eq!(seen(&read(Verdict::Skip)), before);
    let expected = Seen {
        general_protection: 1,
        ..before
    };
    assert_eq!(seen(&read(Verdict::Deny)), expected);
    let undefined = Verdict::Inject(Exception {
        vector: 6,
        error_code: None,
        address: 0,
    });
    let expected = Seen {
        rax: RAX_BEFORE,
        rdx: RDX_BEFORE,
        undefined: 1,
        ..star(0)
    };
    assert_eq!(seen(&read(undefined)), expected);
}

#[test]
fn the_attack_fails_where_the_second_write_is_denied() {
    if !has_kvm() {
        return;
    }
    let denies = |event: &Event, _: &mut dyn Vcpu| match event.data.old() {
        Some(0) => Verdict::Continue,
        _ => Verdict::Deny,
    };
    let play = play("msr-attack", 1, &writes_of(msr::LSTAR), denies);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [KERNEL_ENTRY, 1]);
}

#[test]
fn each_vcpu_has_msrs_of_its_own() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-attack-2", 2, &writes_of(msr::LSTAR), continues);
    assert_eq!(play.reports, [(1, ATTACKER_ENTRY), (1, 0)]);
    let write = |vcpu, new| (vcpu, Some(0), Some(Value::Word(new)));
    let events: Vec<_> = play
        .events
        .iter()
        .map(|(vcpu, event)| (*vcpu, event.data.old(), event.data.proposed()))
        .collect();
    assert_eq!(events, [write(0, KERNEL_ENTRY), write(1, ATTACKER_ENTRY)]);
}

#[test]
fn a_storm_on_two_vcpus_loses_no_event() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = build(oriel_guests::storm(2, 200));
    parts.machine.arm(&writes_of(msr::STAR)).unwrap();
    let play = run(parts, &kept, continues);
    assert_eq!(play.end(), &End::Finished(0));
    for vcpu in 0..2 {
        let mine = play.events.iter().filter(|(index, _)| *index == vcpu);
        let low = |event: &Event| match event.data.proposed() {
            Some(Value::Word(word)) => word & 0xffff_ffff,
            other => panic!("{other:?}"),
        };
        let values: Vec<_> = mine.map(|(_, event)| low(event)).collect();
        assert_eq!(values, (1..=200).rev().collect::<Vec<_>>());
    }
}

#[test]
fn the_old_value_is_right_after_it_was_changed_behind_the_guests_back() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-verdicts", 1, &writes_of(msr::STAR), |event, vcpu| {
        if event.data.old() == Some(0) {
            vcpu.set_msr(msr::STAR, 0x55).unwrap();
            return Verdict::Skip;
        }
        Verdict::Continue
    });
    assert_eq!(play.events[1].1.data.old(), Some(0x55));
}

#[test]
fn arming_the_same_again_changes_nothing_and_disarming_ends_the_events() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = machine("msr-verdicts", 1);
    let wants = writes_of(msr::STAR);
    let shared = parts.machine.clone();
    shared.arm(&wants).unwrap();
    shared.arm(&wants).unwrap();
    let play = run(parts, &kept, |_, _| {
        // From within an event, as a policy does.
        shared.arm(&crate::Wants::default()).unwrap();
        Verdict::Continue
    });
    assert_eq!(play.events.len(), 1);
    assert_eq!(seen(&play), star(STAR_SECOND));
}

#[test]
fn what_was_armed_stays_where_more_is_refused() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = machine("msr-verdicts", 1);
    parts.machine.arm(&writes_of(msr::STAR)).unwrap();
    for wants in [writes_of(0x10), all_of(&[EventKind::Cr])] {
        let error = parts.machine.arm(&wants).unwrap_err();
        assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    }
    assert_eq!(run(parts, &kept, continues).events.len(), 2);
}

#[test]
fn a_verdict_that_was_not_allowed_ends_the_vm_and_says_so() {
    if !has_kvm() {
        return;
    }
    let play = play("msr-verdicts", 1, &writes_of(msr::STAR), |_, _| {
        Verdict::Step
    });
    let End::Failed(text) = play.end() else {
        panic!("{:?}", play.end());
    };
    assert!(text.contains("`step`"), "{text}");
}
