//! Journals: those that are kept in `tests/data`, and one with an event of each kind.

use oriel_journal::{
    Entry,
    entry::{ARCH, Asked, Called, Header, MAGIC, Outcome, Seen, VERSION, tables},
    recording::framed,
};
use oriel_protocol::{Case, Decision, Event, EventKind, Moment};

use super::{Seed, some_event};

/// Every one.
pub(super) fn all() -> Vec<Seed> {
    let kept: [(&str, &[u8]); 3] = [
        ("kept", include_bytes!("../../../data/journal/v1.journal")),
        (
            "arch",
            include_bytes!("../../../data/journal/v1-aarch64.journal"),
        ),
        ("newer", include_bytes!("../../../data/journal/v2.journal")),
    ];
    let kept = kept.into_iter().map(|(name, bytes)| (name, bytes.to_vec()));
    let seed = |(name, bytes)| Seed {
        target: "journal",
        file: format!("seed-{name}"),
        bytes,
    };
    kept.chain([("kinds", kinds())]).map(seed).collect()
}

fn kinds() -> Vec<u8> {
    let header = Header {
        arch: ARCH.to_owned(),
        uuid: *b"0123456789abcdef",
        name: "web-1".to_owned(),
        vcpus: 1,
        tables: tables(),
        engine: "0.1.0".to_owned(),
        began_s: 0,
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend(framed(&Entry::Header(Box::new(header))));
    let calls = (0..EventKind::ALL.len()).map(called);
    bytes.extend(calls.flat_map(|entry| framed(&entry)));
    bytes
}

/// A call about an event of the kind at this place.
fn called(kind: usize) -> Entry {
    let data = some_event(kind);
    let event = Event {
        data,
        ip: 0xffff_ffff_8100_1234,
        cr3: 0x1234_5000,
        cpl: 0,
        allowed: data.kind().verdicts(),
        retired: false,
    };
    let moment = Moment {
        vcpu: 0,
        seq: kind as u64,
        time_ns: 7,
    };
    let case = Case {
        event: &event,
        moment,
        proposed: data.proposed(),
        decided: Decision::Continue,
        tag: 0,
    };
    Entry::Called(Called {
        instance: 1,
        turn: 0,
        at: moment.into(),
        asked: Asked::Judge(Seen::of(&case)),
        said: Vec::new(),
        outcome: Outcome::Continue,
    })
}
