//! Where records go: event lines for programs, and words for people.

mod lines;
pub(crate) mod table;
mod words;

use std::{
    io::{self, Write},
    sync::Arc,
};

use oriel_engine::{Record, Sink};

pub(crate) use lines::LineWriter;
pub(crate) use words::{Words, plain};

/// A line for standard output. Whoever has stopped reading misses nothing that he asked for.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A line for standard error.
pub(crate) fn warn(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Several sinks as one.
pub(crate) struct Tee(pub(crate) Vec<Arc<dyn Sink>>);

impl Sink for Tee {
    fn put(&self, record: Record) {
        for sink in &self.0 {
            if sink.wants_events() || !matches!(record, Record::Event(_)) {
                sink.put(record.clone());
            }
        }
    }

    fn wants_events(&self) -> bool {
        self.0.iter().any(|sink| sink.wants_events())
    }
}
