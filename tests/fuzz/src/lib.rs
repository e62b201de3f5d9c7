//! What is fuzzed: plain functions that take bytes and panic where a promise is broken.
//!
//! A test replays the corpus (`corpus/TARGET/`) through them, so a crash that was found once stays
//! found. The binaries that look for new ones are in `targets/`, and `cargo xtask fuzz` builds and
//! runs them. Nothing here knows a fuzzer.
//!
//! | target | bytes are | promise |
//! |---|---|---|
//! | [`frame`] | what a VM sends to a tool | what can be read can be written, and reads the same again |
//! | [`session`] | what a tool sends to a VM | each command is answered once, and well |
//! | [`handshake`] | what both send before | sizes are bounded, and what is read can be written |
//! | [`journal`] | a file that is to be replayed | its whole records are read, written, and read the same |
//! | [`kallsyms`] | a kernel's read-only data | each symbol is found by its name and its address |
//! | [`btf`] | a kernel's types, and a module's | every path and every layout has an end, and they agree |
//! | [`gdb`] | what QEMU's gdbstub sends | no bytes do harm, however they are cut |

pub mod btf;
pub mod frame;
pub mod gdb;
pub mod handshake;
mod input;
pub mod journal;
pub mod kallsyms;
pub mod seeds;
pub mod session;

/// A function that takes bytes and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Target); 7] = [
    ("btf", btf::run),
    ("frame", frame::run),
    ("gdb", gdb::run),
    ("handshake", handshake::run),
    ("journal", journal::run),
    ("kallsyms", kallsyms::run),
    ("session", session::run),
];
