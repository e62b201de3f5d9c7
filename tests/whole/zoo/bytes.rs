//! A small policy with every byte of it wrong once: it is refused, or it is contained. Nothing it
//! becomes that way harms the guest, the other judge, or the host.

use std::sync::Arc;

use oriel_engine::{Candidate, policies};
use oriel_machine::mock::{Instruction, Scenario, Step};
use oriel_policy::{Limits, Policy, Store, Terms};
use oriel_protocol::{EventKind, EventSet, Verdict};
use oriel_tests::{host, native, play};

/// The most bytes that the policy may have.
const SMALL: usize = 1024;

/// The policy, without its names, which nobody needs.
fn smallest() -> Vec<u8> {
    let bytes = wat::parse_str(include_str!("smallest.wat")).expect("a component");
    without_names(&bytes)
}

/// Leaves out the custom sections, of the component and of the modules in it.
fn without_names(bytes: &[u8]) -> Vec<u8> {
    let (mut kept, mut rest) = (bytes[..8].to_vec(), &bytes[8..]);
    while let [id, behind @ ..] = rest {
        let (length, behind) = number(behind);
        let (body, behind) = behind.split_at(length);
        rest = behind;
        // In a component, section 1 is a module.
        let body = match (*id, body) {
            (0, _) => continue,
            (1, [0, b'a', b's', b'm', ..]) => without_names(body),
            _ => body.to_vec(),
        };
        kept.push(*id);
        put(&mut kept, body.len());
        kept.extend(body);
    }
    kept
}

/// A number in LEB128, and what comes behind it.
fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0);
    let (number, behind) = bytes.split_at(end.expect("a number ends") + 1);
    let digits = number.iter().rev();
    let value = digits.fold(0, |value, digit| value << 7 | usize::from(digit & 0x7f));
    (value, behind)
}

fn put(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn prepare(bytes: &[u8]) -> Option<Policy> {
    let plugin = host().load("smallest", bytes).ok()?;
    let terms = Terms {
        name: "smallest".into(),
        events: EventSet::all(),
        limits: Limits {
            memory: 1 << 20,
            ..Limits::default()
        },
        ..Terms::default()
    };
    host().prepare(&plugin, terms).ok()
}

/// Has it judge a reset, before a judge that lets it happen. Whether anything is left of it.
fn survives(bytes: &[u8], at: usize) -> bool {
    let Some(policy) = prepare(bytes) else {
        return false;
    };
    let judge = policies::candidate(&host(), &Arc::new(policy), Arc::new(Store::default()));
    let ran = play(&reset(), vec![judge, witness()]);
    let verdicts = ran.verdicts();
    assert_eq!(verdicts.len(), 1, "byte {at}");
    // It can answer what a judge of resets can: that it happens, or that the VM stops.
    let lawful = [Verdict::Continue, Verdict::Crash];
    assert!(lawful.contains(&verdicts[0].1), "byte {at}: {verdicts:?}");
    true
}

fn reset() -> Scenario {
    Scenario::new("reset")
        .step(Step::new(Instruction::Reset(Default::default())))
        .step(Step::finish(0))
}

fn witness() -> Candidate {
    native("witness", &[EventKind::Reset], |_, _| Verdict::Continue)
}

#[test]
fn every_byte_of_a_policy_can_be_wrong() {
    let whole = smallest();
    assert!(whole.len() <= SMALL, "{} bytes", whole.len());
    assert!(survives(&whole, whole.len()), "as it is it works");
    let mut left = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        // All of its bits or one of them, in turns.
        bytes[at] ^= if at % 2 == 0 { 0xff } else { 1 << (at / 2 % 8) };
        left += usize::from(survives(&bytes, at));
    }
    // Constants and lengths of memory are as good as others.
    assert!(left > 0 && left < whole.len(), "{left} were good policies");
}
