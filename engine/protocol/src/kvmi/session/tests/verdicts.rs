//! Replies to events: which are taken, and what closes.

use super::*;
use crate::kvmi::{Action, Body, EventReply, PageReply, ReplyFlaw};

const SEQ: u32 = 7;

fn reply(action: Action, body: Body) -> EventReply {
    EventReply { action, body }
}

/// The payload of a reply to an event of this kind, of vCPU 1.
fn payload(dialect: Dialect, kind: EventKind, reply: &EventReply) -> Vec<u8> {
    let message = tool::answer(dialect, 1, SEQ, kind, reply).unwrap();
    message[HEADER..].to_vec()
}

fn take(dialect: Dialect, kind: EventKind, payload: &[u8]) -> Result<EventReply, ReplyFlaw> {
    let mut wire = Wire::new(dialect);
    wire.pending.announce(1, SEQ, kind);
    match wire.send(dialect.event_reply(), payload) {
        Ok(Intake::Verdict {
            vcpu: 1,
            seq: SEQ,
            reply,
            ..
        }) => Ok(reply),
        Err(Close::EventReply { flaw, .. }) => Err(flaw),
        other => panic!("{other:?}"),
    }
}

fn page() -> PageReply {
    PageReply {
        ctx_addr: 0x7000,
        ctx_size: 3,
        singlestep: false,
        rep_complete: true,
        ctx_data: Box::new([1, 2, 3]),
    }
}

#[test]
fn replies_have_16_24_or_288_bytes() {
    for dialect in Dialect::ALL {
        let sizes = [
            (EventKind::Pause, Body::None, 16),
            (EventKind::Cr, Body::Value(5), 24),
            (EventKind::Msr, Body::Value(5), 24),
            (EventKind::Page, Body::Page(page()), 288),
        ];
        for (kind, body, size) in sizes {
            let v12_page = dialect == Dialect::V12 && kind == EventKind::Page;
            let reply = reply(Action::Continue, body);
            let bytes = payload(dialect, kind, &reply);
            assert_eq!(bytes.len(), if v12_page { 16 } else { size });
            let taken = take(dialect, kind, &bytes).unwrap();
            assert_eq!(taken == reply, !v12_page);
        }
    }
}

#[test]
fn a_short_body_is_extended_with_zeros_and_a_long_one_closes() {
    for dialect in Dialect::ALL {
        for &kind in EventKind::ALL {
            if kind.numbers().of(dialect).is_none() || crate::kvmi::event::is_of_vm(kind) {
                continue;
            }
            let whole = payload(dialect, kind, &reply(Action::Crash, Body::None));
            for length in 0..16 {
                let short = take(dialect, kind, &whole[..length]);
                assert_eq!(short, Err(ReplyFlaw::Short { had: length }));
            }
            for length in 16..=whole.len() {
                let taken = take(dialect, kind, &whole[..length]).unwrap();
                assert_eq!(taken.action, Action::Crash);
            }
            let longer = [&whole[..], &[0]].concat();
            let flaw = take(dialect, kind, &longer);
            let expected = ReplyFlaw::Long {
                had: longer.len(),
                limit: whole.len(),
            };
            assert_eq!(flaw, Err(expected), "{dialect:?} {kind:?}");
        }
    }
}

#[test]
fn padding_closes_in_every_dialect() {
    for dialect in Dialect::ALL {
        let good = payload(
            dialect,
            EventKind::Cr,
            &reply(Action::Continue, Body::Value(1)),
        );
        for at in (2..8).chain(10..16) {
            let mut bad = good.clone();
            bad[at] = 1;
            assert_eq!(
                take(dialect, EventKind::Cr, &bad),
                Err(ReplyFlaw::Padding),
                "{at}"
            );
        }
    }
}

#[test]
fn only_v12_compares_the_event_that_a_reply_names() {
    for dialect in Dialect::ALL {
        let mut other = payload(
            dialect,
            EventKind::Cr,
            &reply(Action::Continue, Body::Value(1)),
        );
        other[9] = 200;
        let taken = take(dialect, EventKind::Cr, &other);
        match dialect {
            Dialect::Rfc6 | Dialect::V6 | Dialect::V7 => assert!(taken.is_ok()),
            Dialect::V12 => assert_eq!(
                taken,
                Err(ReplyFlaw::AnotherEvent {
                    named: 200,
                    expected: 7
                })
            ),
        }
    }
}

#[test]
fn more_than_256_bytes_for_the_emulator_close() {
    for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7] {
        for (size, good) in [(0_u32, true), (256, true), (257, false), (u32::MAX, false)] {
            let mut bytes = payload(
                dialect,
                EventKind::Page,
                &reply(Action::Continue, Body::Page(page())),
            );
            bytes[24..28].copy_from_slice(&size.to_le_bytes());
            match take(dialect, EventKind::Page, &bytes) {
                Ok(EventReply {
                    body: Body::Page(page),
                    ..
                }) => {
                    assert!(good);
                    assert_eq!(page.ctx_data.len(), usize::try_from(size).unwrap());
                }
                flaw => {
                    assert!(!good);
                    assert_eq!(flaw, Err(ReplyFlaw::Context { size }));
                }
            }
        }
    }
}

#[test]
fn the_single_step_of_a_page_reply_is_padding_in_v7() {
    for dialect in [Dialect::Rfc6, Dialect::V6, Dialect::V7] {
        let mut bytes = payload(
            dialect,
            EventKind::Page,
            &reply(Action::Retry, Body::Page(page())),
        );
        bytes[28] = 1;
        match take(dialect, EventKind::Page, &bytes) {
            Ok(reply) => {
                let stepped = PageReply {
                    singlestep: true,
                    ..page()
                };
                assert_eq!(reply.body, Body::Page(stepped));
                assert_ne!(dialect, Dialect::V7);
            }
            flaw => {
                assert_eq!(flaw, Err(ReplyFlaw::Padding));
                assert_eq!(dialect, Dialect::V7);
            }
        }
    }
}

#[test]
fn every_action_is_passed_on() {
    for number in 0..=u8::MAX {
        let action = Action::from(number);
        assert_eq!(action.number(), number);
        let bytes = payload(Dialect::V7, EventKind::Pause, &reply(action, Body::None));
        let taken = take(Dialect::V7, EventKind::Pause, &bytes).unwrap();
        assert_eq!(taken.action, action);
    }
    let first = [0, 1, 2, 3].map(Action::from);
    assert_eq!(
        first,
        [
            Action::Continue,
            Action::Retry,
            Action::Crash,
            Action::Other(3)
        ]
    );
}

#[test]
fn a_reply_is_for_one_vcpu_and_one_event_and_comes_once() {
    let wrong_vcpu = tool::answer(
        Dialect::V7,
        0,
        SEQ,
        EventKind::Cr,
        &reply(Action::Continue, Body::Value(1)),
    );
    assert_eq!(
        take(Dialect::V7, EventKind::Cr, &wrong_vcpu.unwrap()[HEADER..]),
        Err(ReplyFlaw::NothingPending)
    );
    let good = payload(
        Dialect::V7,
        EventKind::Cr,
        &reply(Action::Continue, Body::Value(1)),
    );
    let mut wire = Wire::new(Dialect::V7);
    wire.pending.announce(1, SEQ + 1, EventKind::Cr);
    assert!(wire.send(0, &good).is_err(), "another event");
    let mut wire = Wire::new(Dialect::V7);
    wire.pending.announce(1, SEQ, EventKind::Cr);
    assert!(wire.send(0, &good).is_ok());
    assert!(wire.send(0, &good).is_err(), "a second time");
}
