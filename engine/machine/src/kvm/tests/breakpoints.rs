//! Breakpoints: managed ones, the guest's own, and bytes that a tool wrote.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use oriel_guests::{CALLS, FILLS, Guest, KERNEL_ENTRY, OWN_INT3S, PIO_TEXT, SPIN_COUNTERS};
use oriel_protocol::{
    Access, Event, EventData, EventKind, Verdict,
    events::Breakpoint,
    x86::{Exception, Segment, msr},
};

use super::theatre::{Play, Timer, build, continues, has_kvm, machine, nothing, run, writes_of};
use crate::{ArmError, End, Exit, Vcpu, Wants};

/// Wants these managed breakpoints, and every INT3.
fn breaking(at: &[u64]) -> Wants {
    Wants {
        events: [EventKind::Breakpoint].into_iter().collect(),
        breakpoints: at.iter().copied().collect(),
        ..Wants::default()
    }
}

fn guest(name: &str, vcpus: u32) -> Guest {
    oriel_guests::by_name(name, vcpus).unwrap()
}

fn watch(
    guest: Guest,
    wants: &Wants,
    judge: impl Fn(&Event, &mut dyn Vcpu) -> Verdict + Sync,
) -> Play {
    let (parts, kept) = build(guest);
    parts.machine.arm(wants).unwrap();
    run(parts, &kept, judge)
}

/// Where the guest's first instruction of this mnemonic is.
fn first(guest: &Guest, mnemonic: Mnemonic) -> u64 {
    let code = &guest.image[..guest.code];
    let mut decoder = Decoder::with_ip(64, code, guest.load, DecoderOptions::NONE);
    let found = decoder.iter().find(|found| found.mnemonic() == mnemonic);
    found.unwrap().ip()
}

fn hit(event: &Event) -> Breakpoint {
    let EventData::Breakpoint(hit) = event.data else {
        panic!("{event:?}");
    };
    hit
}

fn own(at: u64) -> Breakpoint {
    Breakpoint {
        gva: at,
        gpa: at,
        length: 1,
        managed: false,
        access: Access::EXECUTE,
    }
}

fn managed(at: u64) -> Breakpoint {
    Breakpoint {
        managed: true,
        ..own(at)
    }
}

fn hits(play: &Play) -> Vec<Breakpoint> {
    let breaks = |event: &&Event| event.kind() == EventKind::Breakpoint;
    play.events
        .iter()
        .map(|(_, event)| event)
        .filter(breaks)
        .map(hit)
        .collect()
}

#[test]
fn the_guests_own_int3s_are_its_own_business() {
    if !has_kvm() {
        return;
    }
    let taken = [u64::from(OWN_INT3S); 2];
    let at = guest("int3", 1).mark("int3").unwrap();
    let unwatched = watch(guest("int3", 1), &nothing(), continues);
    assert_eq!(
        (unwatched.end(), &unwatched.values()[..]),
        (&End::Finished(0), &taken[..])
    );
    let watched = watch(guest("int3", 1), &breaking(&[]), continues);
    assert_eq!(watched.end(), &End::Finished(0));
    assert_eq!(
        watched.values(),
        taken,
        "#BP each time, from behind the INT3"
    );
    assert_eq!(hits(&watched), vec![own(at); 3]);
    let event = &watched.events[0].1;
    assert_eq!((event.ip, event.retired), (at, false));
    assert_eq!(event.allowed, EventKind::Breakpoint.verdicts());
}

#[test]
fn an_int3_of_the_guest_takes_each_verdict() {
    if !has_kvm() {
        return;
    }
    let at = guest("int3", 1).mark("int3").unwrap();
    let skipped = watch(guest("int3", 1), &breaking(&[]), |_, _| Verdict::Skip);
    assert_eq!((skipped.values(), skipped.events.len()), (vec![0, 0], 3));
    let handled = watch(guest("int3", 1), &breaking(&[]), |_, vcpu| {
        let mut general = vcpu.general().unwrap();
        general.rip += 1;
        vcpu.set_general(&general).unwrap();
        Verdict::Retry
    });
    assert_eq!((handled.values(), handled.events.len()), (vec![0, 0], 3));
    let again = AtomicU32::new(0);
    let retried = watch(guest("int3", 1), &breaking(&[]), |_, _| {
        match again.fetch_add(1, SeqCst) {
            0..4 => Verdict::Retry,
            _ => Verdict::Continue,
        }
    });
    assert_eq!(
        (retried.values(), hits(&retried)),
        (vec![3, 3], vec![own(at); 7])
    );
    let injected = watch(guest("int3", 1), &breaking(&[]), |_, _| {
        Verdict::Inject(Exception::BP)
    });
    assert_eq!(injected.values()[0], 3, "#BP all the same");
    let denied = watch(guest("int3", 1), &breaking(&[]), |_, _| Verdict::Deny);
    assert!(
        matches!(denied.end(), End::Shutdown(_)),
        "no handler of #GP"
    );
    let crashed = watch(guest("int3", 1), &breaking(&[]), |_, _| Verdict::Crash);
    assert_eq!(crashed.end(), &End::Stopped);
}

#[test]
fn a_pending_injection_gives_way_to_the_guests_int3() {
    if !has_kvm() {
        return;
    }
    let mut wants = breaking(&[]);
    wants.events.insert(EventKind::Trap);
    let undefined = Exception {
        vector: 6,
        error_code: None,
        address: 0,
    };
    let play = watch(guest("int3", 1), &wants, |event, vcpu| {
        if event.kind() == EventKind::Breakpoint {
            vcpu.inject(undefined).unwrap();
        }
        Verdict::Continue
    });
    assert_eq!(play.values(), [3, 3]);
    let told = |(_, event): &(u32, Event)| matches!(&event.data, EventData::Trap(trap) if trap.vector == 3);
    assert_eq!(play.events.iter().filter(|event| told(event)).count(), 3);
}

#[test]
fn a_managed_breakpoint_is_hit_each_time_and_stepped_over_by_every_vcpu() {
    if !has_kvm() {
        return;
    }
    for vcpus in [1, 2] {
        let guest = guest("calls", vcpus);
        let function = guest.mark("function").unwrap();
        let play = watch(guest, &breaking(&[function]), |event, vcpu| {
            assert_eq!(hit(event), managed(function));
            assert_eq!(vcpu.general().unwrap().rip, function);
            Verdict::Continue
        });
        assert_eq!(play.end(), &End::Finished(0));
        assert_eq!(
            play.values(),
            [u64::from(vcpus * CALLS)],
            "it ran each time"
        );
        for vcpu in 0..vcpus {
            let mine = play.events.iter().filter(|(index, _)| *index == vcpu);
            assert_eq!(mine.count(), CALLS as usize, "none was run past");
        }
    }
}

#[test]
fn a_managed_breakpoint_takes_each_verdict() {
    if !has_kvm() {
        return;
    }
    let function = guest("calls", 1).mark("function").unwrap();
    let wants = breaking(&[function]);
    let skipped = watch(guest("calls", 1), &wants, |_, _| Verdict::Skip);
    assert_eq!(
        (skipped.values(), skipped.events.len()),
        (vec![0], CALLS as usize)
    );
    let moved = watch(guest("calls", 1), &wants, |event, vcpu| {
        let mut general = vcpu.general().unwrap();
        // Behind the `lock inc`, on the RET.
        general.rip = event.ip + 8;
        vcpu.set_general(&general).unwrap();
        Verdict::Continue
    });
    assert_eq!(
        (moved.values(), moved.events.len()),
        (vec![0], CALLS as usize)
    );
    let asked = AtomicU32::new(0);
    let retried = watch(guest("calls", 1), &wants, |_, _| {
        match asked.fetch_add(1, SeqCst) % 2 {
            0 => Verdict::Retry,
            _ => Verdict::Continue,
        }
    });
    assert_eq!(retried.values(), [u64::from(CALLS)]);
    assert_eq!(retried.events.len(), 2 * CALLS as usize);
    let crashed = watch(guest("calls", 1), &wants, |_, _| Verdict::Crash);
    assert_eq!(crashed.end(), &End::Stopped);
    let denied = watch(guest("calls", 1), &wants, |_, _| Verdict::Deny);
    assert!(
        matches!(denied.end(), End::Shutdown(_)),
        "there is no handler"
    );
}

#[test]
fn an_instruction_that_comes_out_by_itself_is_stepped_over_once() {
    if !has_kvm() {
        return;
    }
    let attack = guest("msr-attack", 1);
    let write = first(&attack, Mnemonic::Wrmsr);
    let mut wants = writes_of(msr::LSTAR);
    wants.events.insert(EventKind::Breakpoint);
    wants.breakpoints = [write].into();
    let play = watch(attack, &wants, continues);
    let kinds: Vec<_> = play.kinds();
    assert_eq!(kinds[..2], [EventKind::Breakpoint, EventKind::Msr]);
    assert_eq!(
        play.kinds()
            .iter()
            .filter(|kind| **kind == EventKind::Msr)
            .count(),
        2
    );
    assert_eq!(play.end(), &End::Finished(0));

    let asked = AtomicU32::new(0);
    let play = watch(guest("msr-attack", 1), &wants, |event, _| {
        let first = event.kind() == EventKind::Msr && asked.fetch_add(1, SeqCst) == 0;
        if first {
            Verdict::Retry
        } else {
            Verdict::Continue
        }
    });
    let (hit, msr) = (EventKind::Breakpoint, EventKind::Msr);
    assert_eq!(
        play.kinds()[..4],
        [hit, msr, hit, msr],
        "tried again, it is reached again"
    );
}

#[test]
fn a_string_instruction_is_one_hit_and_whole() {
    if !has_kvm() {
        return;
    }
    let pio = guest("pio", 1);
    let string = first(&pio, Mnemonic::Outsb);
    let play = watch(pio, &breaking(&[string]), continues);
    assert_eq!(hits(&play), [managed(string)]);
    assert_eq!(
        (play.end(), &play.serial[..]),
        (&End::Finished(0), PIO_TEXT)
    );
}

/// The byte is away until the last turn, so the others must not run meanwhile.
#[test]
fn a_string_instruction_that_every_vcpu_runs_is_run_past_by_none() {
    if !has_kvm() {
        return;
    }
    let guest = guest("fills", 2);
    let function = guest.mark("function").unwrap();
    let play = watch(guest, &breaking(&[function]), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [u64::from(2 * FILLS)], "it ran each time");
    for vcpu in 0..2 {
        let mine = play.events.iter().filter(|(index, _)| *index == vcpu);
        assert_eq!(mine.count(), FILLS as usize, "vCPU {vcpu}");
    }
}

#[test]
fn a_breakpoint_is_never_seen_and_survives_writes() {
    if !has_kvm() {
        return;
    }
    let guest = guest("msr-attack", 1);
    let (entry, image) = (guest.entry, guest.image.clone());
    let write = first(&guest, Mnemonic::Wrmsr);
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    machine.arm(&breaking(&[write, write + 1, entry])).unwrap();
    let mut seen = vec![0; image.len()];
    machine.memory().read_at(entry, &mut seen).unwrap();
    assert_eq!(seen, image);
    // Two NOPs instead of the WRMSR, one under each of two breakpoints.
    machine.memory().write_at(write, &[0x90, 0x90]).unwrap();
    let play = run(parts, &kept, continues);
    assert_eq!(hits(&play), [entry, write, write + 1].map(managed));
    assert_eq!(play.values()[1], 0);
    assert_ne!(play.values()[0], KERNEL_ENTRY);
}

#[test]
fn an_int3_that_a_tool_wrote_is_unmanaged_and_one_under_a_managed_one_too() {
    if !has_kvm() {
        return;
    }
    let attack = guest("msr-attack", 1);
    let write = first(&attack, Mnemonic::Wrmsr);
    for managed_too in [false, true] {
        let (parts, kept) = build(attack.clone());
        let at: &[u64] = if managed_too { &[write] } else { &[] };
        parts.machine.arm(&breaking(at)).unwrap();
        parts.machine.memory().write_at(write, &[0xcc]).unwrap();
        let machine = parts.machine.clone();
        let play = run(parts, &kept, |event, _| {
            if hit(event).managed {
                return Verdict::Continue;
            }
            machine.memory().write_at(write, &[0x0f]).unwrap();
            machine.arm(&nothing()).unwrap();
            Verdict::Retry
        });
        let expected: Vec<_> = at
            .iter()
            .map(|at| managed(*at))
            .chain([own(write)])
            .collect();
        assert_eq!(hits(&play), expected);
        assert_eq!(play.end(), &End::Finished(0));
    }
}

#[test]
fn one_in_the_middle_of_anothers_instruction_is_not_run_with_it() {
    if !has_kvm() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    // A LOCK INC of eight bytes: one on it, and one on each byte behind but the RET.
    let inside: Vec<u64> = (function..function + 8).collect();
    let play = watch(guest, &breaking(&inside), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [u64::from(CALLS)], "it ran as it is");
    assert_eq!(hits(&play), vec![managed(function); CALLS as usize]);
}

#[test]
fn thousands_are_set_and_cleared_at_once() {
    if !has_kvm() {
        return;
    }
    let (parts, kept) = machine("msr-attack", 1);
    let machine = parts.machine.clone();
    let many: Vec<u64> = (0..10_000).map(|index| 0x20_0000 + index * 7).collect();
    machine.arm(&breaking(&many)).unwrap();
    let mut bytes = vec![1; 70_000];
    machine.memory().read_at(0x20_0000, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    machine.arm(&breaking(&many[5_000..])).unwrap();
    machine.arm(&nothing()).unwrap();
    let play = run(parts, &kept, continues);
    assert_eq!((play.end(), play.events.len()), (&End::Finished(0), 0));
    machine.memory().read_at(0x20_0000, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_breakpoint_in_a_hole_is_refused_and_leaves_the_others() {
    if !has_kvm() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    let (parts, kept) = build(guest);
    parts.machine.arm(&breaking(&[function])).unwrap();
    let error = parts
        .machine
        .arm(&breaking(&[function, 0xd000_0000]))
        .unwrap_err();
    assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("0xd0000000"), "{error}");
    let play = run(parts, &kept, continues);
    assert_eq!(hits(&play), vec![managed(function); CALLS as usize]);
}

#[test]
fn a_breakpoint_set_from_within_its_own_hit_or_cleared_there_is_as_it_was_asked() {
    if !has_kvm() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    machine.arm(&breaking(&[function])).unwrap();
    let play = run(parts, &kept, |_, _| {
        machine.arm(&breaking(&[])).unwrap();
        Verdict::Continue
    });
    assert_eq!(hits(&play), [managed(function)]);
    assert_eq!(play.values(), [u64::from(CALLS)]);
}

#[test]
fn breakpoints_come_and_go_under_two_running_vcpus_and_none_reaches_the_guest() {
    if !has_kvm() {
        return;
    }
    let (mut parts, _) = machine("spin", 2);
    let at = guest("spin", 2).mark("loop").unwrap();
    let machine = parts.machine.clone();
    let timer = Timer::of(&parts);
    let kickers: Vec<_> = parts.vcpus.iter().map(|vcpu| vcpu.kicker()).collect();
    let hits = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let over = std::sync::atomic::AtomicBool::new(false);
        let over = &*Box::leak(Box::new(over));
        for mut vcpu in parts.vcpus.drain(..) {
            let (timer, hits) = (&timer, &hits);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    vcpu.acknowledge_kick();
                    timer.check();
                    match vcpu.enter(Verdict::Continue).unwrap() {
                        Exit::Event(event) => {
                            assert_eq!(hit(&event), managed(at));
                            hits.fetch_add(1, SeqCst);
                        }
                        Exit::Kicked => {}
                        Exit::Ended(end) => panic!("{end}"),
                    }
                }
            });
        }
        for _ in 0..30 {
            let before = hits.load(SeqCst);
            machine.arm(&breaking(&[at])).unwrap();
            while hits.load(SeqCst) < before + 4 {
                std::thread::yield_now();
            }
            machine.arm(&nothing()).unwrap();
            let counter = || machine.memory().read_u64(SPIN_COUNTERS).unwrap();
            let rounds = counter();
            while counter() < rounds + 4 {
                std::thread::yield_now();
            }
        }
        over.store(true, SeqCst);
        kickers.iter().for_each(|kicker| kicker.kick());
    });
}

#[test]
fn a_vcpu_that_is_kicked_on_its_way_over_goes_over_later() {
    if !has_kvm() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    let (mut parts, kept) = build(guest);
    parts.machine.arm(&breaking(&[function])).unwrap();
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    let kicker = vcpu.kicker();
    let mut hits = 0;
    let end = loop {
        vcpu.acknowledge_kick();
        timer.check();
        match vcpu.enter(Verdict::Continue).unwrap() {
            Exit::Event(event) => {
                assert_eq!(hit(&event), managed(function));
                hits += 1;
                kicker.kick();
                assert_eq!(vcpu.enter(Verdict::Continue).unwrap(), Exit::Kicked);
                assert_eq!(vcpu.general().unwrap().rip, function, "still there");
            }
            Exit::Kicked => {}
            Exit::Ended(end) => break end,
        }
    };
    assert_eq!((end, hits), (End::Finished(0), CALLS));
    assert_eq!(kept.reports(), [(0, u64::from(CALLS))]);
}

#[test]
fn a_reset_keeps_the_breakpoints() {
    if !has_kvm() {
        return;
    }
    let guest = guest("reset", 1);
    let entry = guest.entry;
    let (mut parts, _) = build(guest);
    parts.machine.arm(&breaking(&[entry])).unwrap();
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    for _ in 0..3 {
        timer.check();
        let Exit::Event(event) = vcpu.enter(Verdict::Continue).unwrap() else {
            panic!("only hits");
        };
        assert_eq!(hit(&event), managed(entry));
    }
}

/// Sends a vCPU to this address in real mode.
fn to_real_mode(vcpu: &mut dyn Vcpu, ip: u64) {
    let mut special = vcpu.special().unwrap();
    let data = Segment {
        base: 0,
        limit: 0xffff,
        selector: 0,
        kind: 3,
        present: true,
        dpl: 0,
        db: false,
        s: true,
        l: false,
        g: false,
        avl: false,
        unusable: false,
    };
    (special.cr0, special.cr4, special.efer) = (0x10, 0, 0);
    (special.ds, special.es, special.ss) = (data, data, data);
    special.cs = Segment { kind: 11, ..data };
    vcpu.set_special(&special).unwrap();
    let mut general = vcpu.general().unwrap();
    (general.rip, general.rflags) = (ip, 2);
    vcpu.set_general(&general).unwrap();
}

#[test]
fn a_breakpoint_in_real_mode_is_hit_and_gone_over_or_said_not_to_be() {
    if !has_kvm() {
        return;
    }
    /// `nop; inc word [0x9000]; xor eax, eax; out 0xf4, eax`, in 16 bits.
    const CODE: [u8; 11] = [
        0x90, 0xff, 0x06, 0, 0x90, 0x66, 0x31, 0xc0, 0x66, 0xe7, 0xf4,
    ];
    let (parts, kept) = build(guest("msr-attack", 1));
    let machine = parts.machine.clone();
    machine.memory().write_at(0x8000, &CODE).unwrap();
    let mut wants = writes_of(msr::LSTAR);
    wants.events.insert(EventKind::Breakpoint);
    wants.breakpoints = [0x8001].into();
    machine.arm(&wants).unwrap();
    let play = run(parts, &kept, |event, vcpu| {
        if event.kind() == EventKind::Msr {
            to_real_mode(vcpu, 0x8000);
        }
        Verdict::Continue
    });
    let row = machine.capabilities().get("breakpoint").unwrap();
    if row.reason.contains("real mode") {
        assert_eq!(
            hits(&play),
            [],
            "the guest's own handler runs, if it has one"
        );
        return eprintln!("SKIPPED: {}", row.reason);
    }
    assert_eq!(hits(&play), [managed(0x8001)]);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(machine.memory().read_u64(0x9000), Ok(1));
}
