//! Events of ports and of memory that is not RAM, with their effect as the guest sees it.

use oriel_guests::{MMIO_GPA, MMIO_VALUE, PIO_PORT, PIO_TEXT, PIO_VALUE};
use oriel_protocol::{
    Event, EventData, EventKind, Value, Verdict, VerdictSet,
    events::{Mmio, Pio},
};

use super::theatre::{all_of, continues, has_kvm, play};
use crate::{End, Ranges, Wants};

const COM1: u64 = 0x3f8;

fn port(port: u16) -> Wants {
    let only: Ranges<u64> = [u64::from(port)..=u64::from(port)].into_iter().collect();
    Wants {
        events: [EventKind::Pio].into_iter().collect(),
        pio_reads: only.clone(),
        pio_writes: only,
        ..Wants::default()
    }
}

fn word(value: u64) -> Verdict {
    Verdict::Replace(Value::Word(value))
}

fn is_write(event: &Event) -> bool {
    matches!(
        event.data,
        EventData::Pio(Pio { write: true, .. }) | EventData::Mmio(Mmio { write: true, .. })
    )
}

/// How many elements a port access has.
fn elements(event: &Event) -> u32 {
    if let EventData::Pio(Pio { count, .. }) = event.data {
        count
    } else {
        0
    }
}

#[test]
fn port_accesses_are_events_with_what_was_sent_and_what_is_answered() {
    if !has_kvm() {
        return;
    }
    let play = play("pio", 1, &port(PIO_PORT), continues);
    assert_eq!(play.end(), &End::Finished(0));
    let access = |write, size, value| {
        let count = 1;
        Pio {
            port: PIO_PORT,
            write,
            size,
            count,
            value,
        }
        .into()
    };
    let data: Vec<_> = play.events.iter().map(|(_, event)| event.data).collect();
    let expected = [
        access(true, 4, u64::from(PIO_VALUE)),
        access(false, 4, 0xffff_ffff),
        access(false, 1, 0xff),
    ];
    assert_eq!(data, expected);
    assert!(
        play.events[1..].iter().all(|(_, event)| !event.retired),
        "input has yet to arrive"
    );
    assert_eq!(play.values(), [0xffff_ffff, 0x11ff]);
}

#[test]
fn what_a_device_answers_can_be_replaced_and_withheld() {
    if !has_kvm() {
        return;
    }
    let replaced = play("pio", 1, &port(PIO_PORT), |event, _| {
        if is_write(event) {
            Verdict::Continue
        } else {
            word(0x1234_5678)
        }
    });
    assert_eq!(replaced.values(), [0x1234_5678, 0x1178]);
    let skipped = play("pio", 1, &port(PIO_PORT), |_, _| Verdict::Skip);
    assert_eq!(skipped.values(), [0xffff_ffff, 0x11ff]);
}

#[test]
fn what_a_device_is_sent_can_be_replaced_and_dropped() {
    if !has_kvm() {
        return;
    }
    let serial = Wants {
        pio_writes: [COM1..=COM1].into_iter().collect(),
        ..port(0)
    };
    let shouted = play("hello", 1, &serial, |event, _| {
        match event.data.proposed() {
            Some(Value::Word(byte @ 0x61..=0x7a)) => word(byte - 0x20),
            Some(Value::Word(0x20)) => Verdict::Skip,
            _ => Verdict::Continue,
        }
    });
    assert_eq!(shouted.end(), &End::Finished(0));
    assert_eq!(shouted.serial, "HELLOFROMTHEGUEST\n");
    assert_eq!(shouted.events.len(), "hello from the guest\n".len());
}

#[test]
fn a_string_is_one_event_and_is_dropped_as_one() {
    if !has_kvm() {
        return;
    }
    let serial = Wants {
        pio_writes: [COM1..=COM1].into_iter().collect(),
        ..port(0)
    };
    let printed = play("pio", 1, &serial, continues);
    assert_eq!(printed.serial, PIO_TEXT);
    let count: u32 = printed
        .events
        .iter()
        .map(|(_, event)| elements(event))
        .sum();
    assert_eq!(count as usize, PIO_TEXT.len(), "every byte is in an event");
    let dropped = play("pio", 1, &serial, |_, _| Verdict::Skip);
    assert_eq!(
        (dropped.end(), dropped.serial.as_str()),
        (&End::Finished(0), "")
    );
}

#[test]
fn the_port_that_ends_the_guest_can_be_kept_from_it() {
    if !has_kvm() {
        return;
    }
    let play = play("hello", 1, &port(0xf4), |_, _| Verdict::Skip);
    assert_eq!(
        play.end(),
        &End::Shutdown(oriel_protocol::events::ShutdownCause::Halted),
        "behind the port comes a halt"
    );
}

#[test]
fn an_end_is_first_a_port_and_then_a_shutdown() {
    if !has_kvm() {
        return;
    }
    let mut wants = port(0xf4);
    wants.events.insert(EventKind::Shutdown);
    let play = play("hello", 1, &wants, continues);
    assert_eq!(play.kinds(), [EventKind::Pio, EventKind::Shutdown]);
    assert_eq!(play.end(), &End::Finished(0));
}

#[test]
fn loads_and_stores_outside_ram_are_events() {
    if !has_kvm() {
        return;
    }
    let play = play("mmio", 1, &all_of(&[EventKind::Mmio]), |event, _| {
        if is_write(event) {
            Verdict::Continue
        } else {
            word(0xabcd_ef01_2345_6789)
        }
    });
    assert_eq!(play.end(), &End::Finished(0));
    assert_eq!(play.values(), [0xabcd_ef01_2345_6789, 0x6789]);
    let access = |gpa, write, size, value| {
        Mmio {
            gpa,
            write,
            size,
            value,
        }
        .into()
    };
    let data: Vec<_> = play.events.iter().map(|(_, event)| event.data).collect();
    let expected = [
        access(MMIO_GPA, true, 8, MMIO_VALUE),
        access(MMIO_GPA, false, 8, u64::MAX),
        access(MMIO_GPA + 8, false, 2, 0xffff),
    ];
    assert_eq!(data, expected);
    assert!(play.events[0].1.retired && !play.events[1].1.retired);
}

#[test]
fn only_the_wanted_addresses_are_events() {
    if !has_kvm() {
        return;
    }
    let wants = Wants {
        events: [EventKind::Mmio].into_iter().collect(),
        mmio_reads: [MMIO_GPA + 9..=MMIO_GPA + 9].into_iter().collect(),
        ..Wants::default()
    };
    let play = play("mmio", 1, &wants, continues);
    assert_eq!(play.events.len(), 1, "the load that reaches the byte");
    let allowed = VerdictSet::CONTINUE | VerdictSet::SKIP | VerdictSet::CRASH | VerdictSet::REPLACE;
    assert_eq!(play.events[0].1.allowed, allowed);
}
