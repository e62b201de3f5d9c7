//! Conversations of real tools, written with the tool side of the codec: where the fuzzer starts,
//! and what every run of the tests goes through.

mod events;
mod gdb;
mod guests;
mod journals;
mod script;
mod tools;

use oriel_protocol::{
    CommandId, Dialect,
    kvmi::{
        frame,
        handshake::{Answer, Hello},
    },
};

pub use events::some_event;
use script::Script;

use crate::session;

/// An input with the name of its file.
#[derive(Clone, Debug)]
pub struct Seed {
    /// The target that it is for.
    pub target: &'static str,
    /// The name of its file in the corpus.
    pub file: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Every one.
pub fn all() -> Vec<Seed> {
    let mut all: Vec<Seed> = handshakes();
    all.extend(journals::all());
    all.extend(guests::all());
    for dialect in Dialect::ALL {
        all.push(session_seed("rows", dialect, rows(dialect)));
        all.push(session_seed("events", dialect, events::answered(dialect)));
        all.push(frame_seed("events", dialect, events::sent(dialect)));
    }
    all.extend(gdb::seeds().into_iter().map(|(name, bytes)| Seed {
        target: "gdb",
        file: format!("seed-{name}"),
        bytes,
    }));
    for (name, dialect, bytes) in tools::conversations() {
        // What the VM says in the same conversation is what a tool has to read.
        let said = session::play(&bytes);
        all.push(session_seed(name, dialect, bytes));
        all.push(frame_seed(name, dialect, said));
    }
    all
}

fn session_seed(name: &str, dialect: Dialect, bytes: Vec<u8>) -> Seed {
    Seed {
        target: "session",
        file: format!("seed-{name}-{}", dialect.name()),
        bytes,
    }
}

fn frame_seed(name: &str, dialect: Dialect, said: Vec<u8>) -> Seed {
    Seed {
        target: "frame",
        file: format!("seed-{name}-{}", dialect.name()),
        bytes: [vec![dialect as u8], said].concat(),
    }
}

/// Every command with a payload of zeros, and one that does not exist.
fn rows(dialect: Dialect) -> Vec<u8> {
    let mut script = Script::new(dialect);
    for id in CommandId::all().filter_map(|id| id.numbers().of(dialect)) {
        script = script.raw(id, &[0; 32]);
    }
    script.raw(0xffff, &[]).bytes()
}

fn handshakes() -> Vec<Seed> {
    let hello = Hello {
        uuid: *b"0123456789abcdef",
        start_time: 1_700_000_000,
        name: "web-1".to_owned(),
        max_gpa: 1 << 32,
    };
    let answer = Answer { cookie: [7; 20] }.write();
    let swapped = [[0, 0, 0, 24].as_slice(), &[0; 20]].concat();
    let fixed = [
        ("answer", answer),
        ("swapped", swapped),
        ("other", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("command", frame::message(2, 1, &[])),
    ];
    let fixed = fixed
        .into_iter()
        .map(|(name, bytes)| handshake(name, Dialect::V7, &bytes));
    let hellos = Dialect::ALL.map(|dialect| {
        let name = format!("hello-{}", dialect.name());
        handshake(&name, dialect, &hello.write(dialect))
    });
    fixed.chain(hellos).collect()
}

fn handshake(name: &str, dialect: Dialect, bytes: &[u8]) -> Seed {
    Seed {
        target: "handshake",
        file: format!("seed-{name}"),
        bytes: [&[dialect as u8], bytes].concat(),
    }
}
