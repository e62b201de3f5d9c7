//! Hardware points, by the debug registers that KVM loads.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use iced_x86::{Decoder, DecoderOptions};
use oriel_guests::{CALLS, Guest, HOLE_CALLS, MMIO_GPA, SPIN_COUNTERS, WATCHED_CALLS};
use oriel_protocol::{
    Access, Event, EventData, EventKind, HardwarePoint, Support, Verdict, events::Breakpoint,
    x86::Exception,
};
use vm_memory::{GuestAddress, GuestMemoryMmap};

use super::theatre::{Play, Timer, build, continues, has_kvm, machine, nothing, run};
use crate::{
    ArmError, Changed, End, Exit, Parts, Vcpu, Wants,
    kvm::{arm::Arming, habits::Habits, patched::PatchedRam, probe},
};

fn code(gva: u64) -> HardwarePoint {
    HardwarePoint::execute(gva).unwrap()
}

fn watching(points: &[HardwarePoint]) -> Wants {
    Wants {
        events: [EventKind::Breakpoint].into_iter().collect(),
        hardware: points.to_vec(),
        ..Wants::default()
    }
}

fn stepping(points: &[HardwarePoint]) -> Wants {
    let mut wants = watching(points);
    wants.events.insert(EventKind::Singlestep);
    wants.singlestep = vec![0];
    wants
}

fn guest(name: &str, vcpus: u32) -> Guest {
    oriel_guests::by_name(name, vcpus).unwrap()
}

/// Whether this KVM stops at such points; what it says of itself is checked on the way.
fn fires(points: impl Fn(Habits) -> bool) -> bool {
    has_kvm() && {
        let kvm = kvm_ioctls::Kvm::new().unwrap();
        let fires = points(probe::habits(&kvm).unwrap());
        if !fires {
            eprintln!("SKIPPED: this KVM does not stop at such hardware points");
        }
        fires
    }
}

fn stops_at_code() -> bool {
    fires(|habits| habits.code_points)
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

fn hit(event: &Event) -> Breakpoint {
    let EventData::Breakpoint(hit) = event.data else {
        panic!("{event:?}");
    };
    hit
}

fn at(gva: u64) -> Breakpoint {
    Breakpoint {
        gva,
        gpa: gva,
        length: 1,
        managed: true,
        access: Access::EXECUTE,
    }
}

#[test]
fn a_point_is_hit_each_time_by_every_vcpu_before_its_instruction() {
    if !stops_at_code() {
        return;
    }
    for vcpus in [1, 2] {
        let guest = guest("calls", vcpus);
        let function = guest.mark("function").unwrap();
        let play = watch(guest, &watching(&[code(function)]), |event, vcpu| {
            assert_eq!((hit(event), event.ip), (at(function), function));
            assert_eq!(
                (event.retired, event.allowed),
                (false, EventKind::Breakpoint.verdicts())
            );
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
            let (hits, calls) = (mine.count(), CALLS as usize);
            // KVM's emulator begins a contended `lock inc` anew, and meets the point again.
            let contended = vcpus > 1 && hits >= calls;
            assert!(contended || hits == calls, "none was run past: {hits}");
        }
    }
}

#[test]
fn a_point_takes_each_verdict() {
    if !stops_at_code() {
        return;
    }
    let function = guest("calls", 1).mark("function").unwrap();
    let wants = watching(&[code(function)]);
    let calls = CALLS as usize;
    let skipped = watch(guest("calls", 1), &wants, |_, _| Verdict::Skip);
    assert_eq!((skipped.values(), skipped.events.len()), (vec![0], calls));
    let asked = AtomicU32::new(0);
    let retried = watch(guest("calls", 1), &wants, |_, _| {
        match asked.fetch_add(1, SeqCst) % 2 {
            0 => Verdict::Retry,
            _ => Verdict::Continue,
        }
    });
    assert_eq!(retried.values(), [u64::from(CALLS)]);
    assert_eq!(retried.events.len(), 2 * calls);
    let moved = watch(guest("calls", 1), &wants, |event, vcpu| {
        let mut general = vcpu.general().unwrap();
        // Behind the `lock inc`, on the RET.
        general.rip = event.ip + 8;
        vcpu.set_general(&general).unwrap();
        Verdict::Continue
    });
    assert_eq!((moved.values(), moved.events.len()), (vec![0], calls));
    let crashed = watch(guest("calls", 1), &wants, |_, _| Verdict::Crash);
    assert_eq!(crashed.end(), &End::Stopped);
    for verdict in [Verdict::Deny, Verdict::Inject(Exception::GP0)] {
        let denied = watch(guest("calls", 1), &wants, |_, _| verdict.clone());
        assert!(
            matches!(denied.end(), End::Shutdown(_)),
            "there is no handler"
        );
    }
}

#[test]
fn a_point_is_hit_once_between_the_steps_that_lead_to_it_and_over_it() {
    if !stops_at_code() {
        return;
    }
    let function = guest("calls", 1).mark("function").unwrap();
    let steps = |play: &Play| -> Vec<u64> {
        let step = |event: &&Event| event.kind() == EventKind::Singlestep;
        let events = play.events.iter().map(|(_, event)| event);
        events.filter(step).map(|event| event.ip).collect()
    };
    let plain = watch(guest("calls", 1), &stepping(&[]), continues);
    let both = watch(guest("calls", 1), &stepping(&[code(function)]), continues);
    assert_eq!((both.end(), both.values()), (plain.end(), plain.values()));
    assert_eq!(steps(&both), steps(&plain), "no step is lost or doubled");
    let mut hits = 0;
    for pair in both.events.windows(2) {
        let (before, event) = (&pair[0].1, &pair[1].1);
        if event.kind() == EventKind::Breakpoint {
            assert_eq!(hit(event), at(function));
            assert_eq!(
                (before.kind(), before.ip),
                (EventKind::Singlestep, function),
                "the step of the CALL comes first"
            );
            hits += 1;
        }
    }
    assert_eq!(hits, CALLS);
}

#[test]
fn a_point_and_an_int3_at_one_address_are_one_hit_for_every_vcpu() {
    if !stops_at_code() {
        return;
    }
    let guest = guest("calls", 2);
    let function = guest.mark("function").unwrap();
    let mut wants = watching(&[code(function)]);
    wants.breakpoints = [function].into();
    let play = watch(guest, &wants, continues);
    assert_eq!(play.values(), [u64::from(2 * CALLS)]);
    assert_eq!(play.events.len(), 2 * CALLS as usize);
    for (_, event) in &play.events {
        assert_eq!(hit(event), at(function));
    }
}

#[test]
fn a_point_on_the_guests_own_int3_comes_before_it() {
    if !stops_at_code() {
        return;
    }
    let own = guest("int3", 1).mark("int3").unwrap();
    let play = watch(guest("int3", 1), &watching(&[code(own)]), continues);
    assert_eq!(play.values(), [3, 3], "#BP each time, from behind the INT3");
    let managed: Vec<_> = play
        .events
        .iter()
        .map(|(_, event)| hit(event).managed)
        .collect();
    assert_eq!(managed, [true, false].repeat(3));
}

#[test]
fn four_points_are_told_apart_and_a_fifth_is_refused() {
    if !stops_at_code() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    // `lock inc` has eight bytes, RET one, and what follows is run once.
    let places = [function, function + 8, guest.entry, function + 9];
    let four = places.map(code);
    let (parts, kept) = build(guest);
    parts.machine.arm(&watching(&four)).unwrap();
    let five = [&[code(0x1234)], &four[..]].concat();
    let error = parts.machine.arm(&watching(&five)).unwrap_err();
    assert!(matches!(error, ArmError::Full { .. }), "{error}");
    for place in places {
        assert!(
            error.to_string().contains(&format!("{place:#x}")),
            "{error}"
        );
    }
    let play = run(parts, &kept, continues);
    let count = |place| {
        let events = play.events.iter();
        events.filter(|(_, event)| hit(event) == at(place)).count()
    };
    let calls = CALLS as usize;
    assert_eq!(places.map(count), [calls, calls, 1, 1]);
}

#[test]
fn the_guests_own_debug_registers_are_hidden_meanwhile_and_given_back() {
    if !stops_at_code() {
        return;
    }
    let own = guest("debug-registers", 1);
    let (between, function) = (own.mark("between").unwrap(), own.mark("function").unwrap());
    let rounds = u64::from(WATCHED_CALLS);
    let unwatched = watch(own.clone(), &nothing(), continues);
    assert_eq!(unwatched.values(), [rounds, 2 * rounds, function]);
    let (parts, kept) = build(own.clone());
    let machine = parts.machine.clone();
    machine.arm(&watching(&[code(between)])).unwrap();
    let play = run(parts, &kept, |event, _| {
        assert_eq!(hit(event), at(between));
        machine.arm(&nothing()).unwrap();
        Verdict::Continue
    });
    assert_eq!(play.events.len(), 1);
    let [first, second, dr0] = play.values()[..] else {
        panic!("{:?}", play.values());
    };
    // KVM's emulator looks at both sets of registers; a processor has room for one.
    assert!(first == 0 || first == rounds, "all or nothing: {first}");
    assert_eq!((second - first, dr0), (rounds, function), "given back");
}

#[test]
fn a_point_where_no_ram_is_stops_before_the_fetch() {
    if !stops_at_code() {
        return;
    }
    let (parts, kept) = machine("hole", 1);
    let machine = parts.machine.clone();
    machine.arm(&watching(&[code(MMIO_GPA)])).unwrap();
    let play = run(parts, &kept, |event, vcpu| {
        assert_eq!(hit(event), at(MMIO_GPA));
        let mut general = vcpu.general().unwrap();
        general.rip = machine.memory().read_u64(general.rsp).unwrap();
        general.rsp += 8;
        vcpu.set_general(&general).unwrap();
        Verdict::Retry
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [0, u64::from(HOLE_CALLS)]);
    assert_eq!(play.events.len(), HOLE_CALLS as usize);
}

#[test]
fn a_watched_write_is_told_behind_it_or_refused_with_the_reason() {
    if !has_kvm() {
        return;
    }
    let guest = guest("calls", 1);
    let function = usize::try_from(guest.mark("function").unwrap() - guest.load).unwrap();
    let code = &guest.image[function..guest.code];
    let ip = guest.load + function as u64;
    let counter = Decoder::with_ip(64, code, ip, DecoderOptions::NONE)
        .decode()
        .ip_rel_memory_address();
    let point = HardwarePoint::new(counter, 1, Access::WRITE).unwrap();
    let (parts, kept) = build(guest);
    let row = parts.machine.capabilities().get("breakpoint").cloned();
    let reason = row.unwrap().reason;
    match parts.machine.arm(&watching(&[point])) {
        Err(error) => {
            assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
            let words = format!("a watch for writes to 1 bytes at {counter:#x}");
            assert!(error.to_string().starts_with(&words), "{error}");
            assert!(reason.contains("watchpoints do not fire"), "{reason}");
        }
        Ok(()) => {
            assert!(!reason.contains("watchpoints do not fire:"), "{reason}");
            let play = run(parts, &kept, |event, _| {
                let hit = hit(event);
                assert_eq!(
                    (hit.gva, hit.length, hit.access),
                    (counter, 1, Access::WRITE)
                );
                assert!(event.retired && event.allowed == EventKind::Singlestep.verdicts());
                Verdict::Continue
            });
            assert_eq!(play.values(), [u64::from(CALLS)]);
            assert_eq!(play.events.len(), CALLS as usize);
        }
    }
}

#[test]
fn points_come_and_go_under_two_running_vcpus() {
    if !stops_at_code() {
        return;
    }
    let (parts, _) = machine("spin", 2);
    let place = guest("spin", 2).mark("loop").unwrap();
    let timer = Timer::of(&parts);
    let Parts { machine, vcpus } = parts;
    let kickers: Vec<_> = vcpus.iter().map(|vcpu| vcpu.kicker()).collect();
    let hits = [AtomicU32::new(0), AtomicU32::new(0)];
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (mut vcpu, hits) in vcpus.into_iter().zip(&hits) {
            let (timer, over) = (&timer, &over);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    vcpu.acknowledge_kick();
                    timer.check();
                    match vcpu.enter(Verdict::Continue).unwrap() {
                        Exit::Event(event) => {
                            assert_eq!(hit(&event), at(place));
                            hits.fetch_add(1, SeqCst);
                        }
                        Exit::Kicked => {}
                        Exit::Ended(end) => panic!("{end}"),
                    }
                }
            });
        }
        for _ in 0..10 {
            let before = [0, 1].map(|vcpu: usize| hits[vcpu].load(SeqCst));
            machine.arm(&watching(&[code(place)])).unwrap();
            while (0..2).any(|vcpu| hits[vcpu].load(SeqCst) < before[vcpu] + 2) {
                std::thread::yield_now();
            }
            machine.arm(&nothing()).unwrap();
            let counter = |vcpu| {
                let memory = machine.memory();
                memory.read_u64(SPIN_COUNTERS + 8 * vcpu).unwrap()
            };
            let rounds = [counter(0), counter(1)];
            while (0..2).any(|vcpu| counter(vcpu as u64) < rounds[vcpu] + 4) {
                std::thread::yield_now();
            }
        }
        over.store(true, SeqCst);
        kickers.iter().for_each(|kicker| kicker.kick());
    });
}

#[test]
fn a_point_that_nobody_listens_to_is_gone_over_in_silence() {
    if !stops_at_code() {
        return;
    }
    let guest = guest("calls", 2);
    let function = guest.mark("function").unwrap();
    for breakpoints in [&[][..], &[function]] {
        let wants = Wants {
            hardware: vec![code(function)],
            breakpoints: breakpoints.iter().copied().collect(),
            ..nothing()
        };
        let play = watch(guest.clone(), &wants, continues);
        assert_eq!(play.end(), &End::Finished(0));
        assert_eq!(play.values(), [u64::from(2 * CALLS)]);
        assert!(play.events.is_empty());
    }
}

#[test]
fn a_vcpu_that_is_kicked_on_its_way_over_goes_over_later() {
    if !stops_at_code() {
        return;
    }
    let guest = guest("calls", 1);
    let function = guest.mark("function").unwrap();
    let (mut parts, kept) = build(guest);
    parts.machine.arm(&watching(&[code(function)])).unwrap();
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    let kicker = vcpu.kicker();
    let mut hits = 0;
    let end = loop {
        vcpu.acknowledge_kick();
        timer.check();
        match vcpu.enter(Verdict::Continue).unwrap() {
            Exit::Event(event) => {
                assert_eq!(hit(&event), at(function));
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
fn a_reset_keeps_the_points() {
    if !stops_at_code() {
        return;
    }
    let guest = guest("reset", 1);
    let entry = guest.entry;
    let (mut parts, _) = build(guest);
    parts.machine.arm(&watching(&[code(entry)])).unwrap();
    let timer = Timer::of(&parts);
    let mut vcpu = parts.vcpus.remove(0);
    for _ in 0..3 {
        timer.check();
        let Exit::Event(event) = vcpu.enter(Verdict::Continue).unwrap() else {
            panic!("only hits");
        };
        assert_eq!(hit(&event), at(entry));
    }
}

#[test]
fn what_the_table_says_is_what_was_found() {
    if !has_kvm() {
        return;
    }
    let (parts, _) = machine("hello", 1);
    let row = parts.machine.capabilities().get("breakpoint").unwrap();
    let kvm = kvm_ioctls::Kvm::new().unwrap();
    let habits = probe::habits(&kvm).unwrap();
    let said = |words: &str| row.reason.contains(words);
    assert_eq!(
        said("hardware breakpoints do not fire"),
        !(habits.code_points && habits.code_points_user)
    );
    assert_eq!(
        said("watchpoints do not fire"),
        !(habits.data_points && habits.data_points_user)
    );
    assert_eq!(row.support == Support::Yes, row.reason.is_empty());
}

#[test]
fn where_int3s_do_not_come_out_points_are_armed_and_int3s_refused_by_either_way() {
    if !stops_at_code() {
        return;
    }
    let kvm = kvm_ioctls::Kvm::new().unwrap();
    let vm = kvm.create_vm().unwrap();
    let habits = Habits {
        breaks: false,
        ..probe::habits(&kvm).unwrap()
    };
    let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x2000)]).unwrap();
    let arming = Arming::new(&kvm, &vm, habits).unwrap();
    let arming = arming.over(Arc::new(PatchedRam::new(ram)));
    let points = watching(&[code(0x1000)]);
    arming.arm(&vm, &points).unwrap();
    let more = Wants {
        breakpoints: [0x1800].into(),
        ..points
    };
    let changed = Changed {
        breakpoints: [0x1800].into(),
        ..Changed::default()
    };
    for refused in [
        arming.arm(&vm, &more),
        arming.arm_changed(&vm, &more, &changed),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, ArmError::Unsupported { .. }), "{error}");
    }
    assert_eq!(arming.current().hardware, [code(0x1000)]);
    assert!(arming.memory().unwrap().placed().is_empty());
}
