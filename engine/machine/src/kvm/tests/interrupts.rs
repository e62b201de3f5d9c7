//! Guests with interrupt controllers, a timer, and vCPUs that are sent for.

use std::{io::Cursor, sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst};

use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use oriel_guests::{Guest, PROCESSOR_HERE, TICKS};
use oriel_protocol::{EventData, EventKind, Support, Verdict, events::ShutdownCause};

use super::theatre::{Play, all_of, build, continues, has_kvm, machine, nothing, play, run};
use crate::{
    End, Wants,
    kvm::{Config, Image},
    outlet::Kept,
};

#[test]
fn the_timer_wakes_a_vcpu_that_halts() {
    if !has_kvm() {
        return;
    }
    let play = play("ticks", 1, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [TICKS]);
}

/// The same guest with interrupt controllers.
fn with_interrupts(name: &str, vcpus: u32) -> Guest {
    Guest {
        interrupts: true,
        ..oriel_guests::by_name(name, vcpus).unwrap()
    }
}

/// Where the guest of this name halts.
fn halt_of(guest: &Guest) -> u64 {
    let code = &guest.image[..guest.code];
    let mut decoder = Decoder::with_ip(64, code, guest.load, DecoderOptions::NONE);
    let halt = decoder
        .iter()
        .find(|found| found.mnemonic() == Mnemonic::Hlt);
    halt.unwrap().ip()
}

fn breaking_at(at: u64) -> Wants {
    Wants {
        events: [EventKind::Breakpoint, EventKind::Singlestep]
            .into_iter()
            .collect(),
        breakpoints: [at].into(),
        ..Wants::default()
    }
}

/// How often the guest came to its HLT. One that did not really halt there would come by all the
/// time until the next tick.
fn came_to(play: &Play) -> usize {
    let kinds = play.kinds();
    kinds
        .iter()
        .filter(|kind| **kind == EventKind::Breakpoint)
        .count()
}

#[test]
fn a_halt_under_a_managed_breakpoint_halts_and_is_woken() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("ticks", 1).unwrap();
    let halt = halt_of(&guest);
    let (parts, kept) = build(guest);
    parts.machine.arm(&breaking_at(halt)).unwrap();
    let play = run(parts, &kept, continues);
    assert_eq!(
        (play.end(), play.values()),
        (&End::Finished(0), vec![TICKS])
    );
    let most = usize::try_from(TICKS).unwrap() + 1;
    assert!((1..=most).contains(&came_to(&play)), "{}", came_to(&play));
}

#[test]
fn a_halt_that_is_stepped_halts_and_is_woken() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("ticks", 1).unwrap();
    let halt = halt_of(&guest);
    let (parts, kept) = build(guest);
    let machine = parts.machine.clone();
    let (runs, steps) = (breaking_at(halt), AtomicU32::new(0));
    machine.arm(&runs).unwrap();
    // From the breakpoint over the HLT, one step, as while it is stepped interrupts are held.
    let play = run(parts, &kept, |event, _| {
        if event.kind() == EventKind::Singlestep {
            assert_eq!(event.ip, halt + 1);
            steps.fetch_add(1, SeqCst);
            machine.arm(&runs).unwrap();
        } else {
            let mut stepping = runs.clone();
            stepping.singlestep = vec![0];
            machine.arm(&stepping).unwrap();
        }
        Verdict::Continue
    });
    assert_eq!(
        (play.end(), play.values()),
        (&End::Finished(0), vec![TICKS])
    );
    let most = usize::try_from(TICKS).unwrap() + 1;
    assert!((1..=most).contains(&came_to(&play)), "{}", came_to(&play));
    assert_eq!(usize::try_from(steps.load(SeqCst)).unwrap(), came_to(&play));
}

#[test]
fn without_controllers_a_halt_under_a_breakpoint_or_a_step_is_the_end_as_ever() {
    if !has_kvm() {
        return;
    }
    let guest = || oriel_guests::by_name("halt", 1).unwrap();
    let halt = halt_of(&guest());
    for singlestep in [vec![], vec![0]] {
        let (parts, kept) = build(guest());
        let wants = Wants {
            singlestep,
            ..breaking_at(halt)
        };
        parts.machine.arm(&wants).unwrap();
        let play = run(parts, &kept, continues);
        assert_eq!(play.end(), &End::Shutdown(ShutdownCause::Halted));
        assert_eq!(came_to(&play), 1);
    }
}

#[test]
fn a_guest_that_halts_for_good_is_noticed_though_kvm_waits_for_interrupts() {
    if !has_kvm() {
        return;
    }
    let halted = End::Shutdown(ShutdownCause::Halted);
    for vcpus in [1, 3] {
        let (parts, kept) = build(with_interrupts("halt", vcpus));
        let unwatched = run(parts, &kept, continues);
        assert_eq!(unwatched.end(), &halted);
        let (parts, kept) = build(with_interrupts("halt", vcpus));
        parts.machine.arm(&all_of(&[EventKind::Shutdown])).unwrap();
        let watched = run(parts, &kept, continues);
        assert_eq!((watched.end(), watched.events.len()), (&halted, 1));
    }
}

#[test]
fn a_vcpu_that_is_sent_on_from_the_last_halt_runs_and_halts_again() {
    if !has_kvm() {
        return;
    }
    let guest = with_interrupts("halt", 1);
    let entry = guest.entry;
    let (parts, kept) = build(guest);
    parts.machine.arm(&all_of(&[EventKind::Shutdown])).unwrap();
    let sent = AtomicU32::new(0);
    let play = run(parts, &kept, |_, vcpu| {
        if sent.fetch_add(1, SeqCst) < 3 {
            let mut general = vcpu.general().unwrap();
            general.rip = entry;
            vcpu.set_general(&general).unwrap();
        }
        Verdict::Continue
    });
    assert_eq!(play.end(), &End::Shutdown(ShutdownCause::Halted));
    assert_eq!(play.events.len(), 4, "each halt for good is told once");
}

#[test]
fn interrupts_come_by_the_apics_where_the_mp_table_says() {
    if !has_kvm() {
        return;
    }
    let play = play("apics", 2, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.values(),
        [TICKS, TICKS],
        "of the 8254, and of the local APIC's timer"
    );
}

#[test]
fn the_other_vcpus_wait_until_they_are_sent_for() {
    if !has_kvm() {
        return;
    }
    let play = play("processors", 3, &nothing(), continues);
    assert_eq!(play.end(), &End::Finished(0));
    let mut reports = play.reports;
    reports.sort_unstable();
    assert_eq!(reports, [(1, PROCESSOR_HERE), (2, PROCESSOR_HERE)]);
}

#[test]
fn a_reset_sends_the_others_back_to_waiting() {
    if !has_kvm() {
        return;
    }
    let ends = AtomicU32::new(0);
    let (parts, kept) = machine("processors", 2);
    let memory = parts.machine.clone();
    parts.machine.arm(&all_of(&[EventKind::Pio])).unwrap();
    // Where the guest would end, it is sent to `out 0x64, al` instead, which resets it, twice.
    let play = run(parts, &kept, |event, vcpu| {
        let is_end = matches!(event.data, EventData::Pio(pio) if pio.port == 0xf4);
        if !is_end || ends.fetch_add(1, SeqCst) == 2 {
            return Verdict::Continue;
        }
        memory.memory().write_at(0xa000, &[0xe6, 0x64]).unwrap();
        let mut general = vcpu.general().unwrap();
        (general.rip, general.rax) = (0xa000, 0xfe);
        vcpu.set_general(&general).unwrap();
        Verdict::Skip
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(
        play.reports,
        [(1, PROCESSOR_HERE); 3],
        "once for each start"
    );
}

#[test]
fn what_is_typed_comes_by_interrupt() {
    if !has_kvm() {
        return;
    }
    let guest = oriel_guests::by_name("console", 1).unwrap();
    let kept = std::sync::Arc::new(Kept::default());
    let image = Image {
        bytes: guest.image,
        load: guest.load,
        entry: guest.entry,
    };
    // More than the device's buffer of 64 bytes holds.
    let text = "hello ".repeat(40) + "q";
    let config = Config {
        interrupts: true,
        input: Some(Box::new(Cursor::new(text.clone().into_bytes()))),
        ..Config::new(image, kept.clone())
    };
    let play = run(config.build().unwrap(), &kept, continues);
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.serial, "type\n".to_owned() + &text);
}

#[test]
fn whether_there_are_interrupts_is_said() {
    if !has_kvm() {
        return;
    }
    for (name, support) in [("ticks", Support::Yes), ("hello", Support::No)] {
        let (parts, _) = machine(name, 1);
        let row = parts.machine.capabilities().get("interrupts").cloned();
        assert_eq!(row.map(|row| row.support), Some(support), "{name}");
    }
}
