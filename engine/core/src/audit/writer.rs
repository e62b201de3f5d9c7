//! The thread that writes. Owns the file; never holds anybody up but by being slow.

use std::{
    io::{self, BufWriter, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use oriel_protocol::Identity;
use serde_json::json;

use super::{
    Closed,
    chain::Chain,
    line::{Fields, Line, typed},
    queue::{Queue, Work},
};

/// The version of the format, in the first line.
const VERSION: u32 = 1;

/// A chain that is written.
pub(super) type Written<W> = Chain<BufWriter<W>>;

/// Writes the first line.
pub(super) fn begin<W: Write>(to: W, identity: &Identity) -> io::Result<Written<W>> {
    let mut chain = Chain::new(BufWriter::new(to));
    let mut head = typed("head");
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let time_ns = since.map_or(0, |since| since.as_nanos());
    head.insert("v".to_owned(), json!(VERSION));
    head.insert("vm".to_owned(), json!(identity.name));
    head.insert("uuid".to_owned(), json!(identity.uuid));
    // Of the clock on the wall, unlike the times of the other lines.
    head.insert(
        "unix_ns".to_owned(),
        json!(u64::try_from(time_ns).unwrap_or(u64::MAX)),
    );
    chain.add(head)?;
    chain.flush()?;
    Ok(chain)
}

/// Writes until the trail is closed.
pub(super) fn run<W: Write>(queue: &Queue, mut chain: Written<W>) -> Closed {
    let (mut broken, mut told) = (false, 0);
    while let Some(work) = queue.take() {
        let lines = work.lines.len();
        if broken {
            queue.break_off(lines as u64);
        } else if let Err(error) = write(&mut chain, work, &mut told) {
            broken = true;
            tracing::error!(%error, "the audit trail cannot be written any more");
            // Some of them may be in the file, which ends behind them.
            queue.break_off(lines as u64);
        }
        queue.written(lines);
    }
    close(queue, chain, broken)
}

/// Everything that waits, in one piece: the more there is, the larger it is.
fn write<W: Write>(chain: &mut Written<W>, work: Work, told: &mut u64) -> io::Result<()> {
    if work.lost > *told {
        // Where something is missing, a line says so.
        chain.add(lost(work.lost - *told))?;
        *told = work.lost;
    }
    let mut lines = work.lines.into_iter().map(Line::fields);
    lines.try_for_each(|fields| chain.add(fields))?;
    chain.flush()
}

fn lost(count: u64) -> Fields {
    let mut fields = typed("lost");
    fields.insert("count".to_owned(), json!(count));
    fields
}

fn close<W: Write>(queue: &Queue, mut chain: Written<W>, broken: bool) -> Closed {
    let (farewell, lost) = queue.farewell();
    let mut hash = None;
    if let Some(detail) = farewell.filter(|_| !broken) {
        match end(&mut chain, &detail, lost) {
            Ok(()) => hash = Some(()),
            Err(error) => tracing::error!(%error, "the audit trail cannot be closed"),
        }
    }
    // What is flushed only now may fail as well; then the file ends where it was cut.
    let _ = chain.flush();
    let (last, lines) = chain.end();
    Closed {
        hash: hash.map(|()| last),
        lines,
        lost,
    }
}

fn end<W: Write>(chain: &mut Written<W>, detail: &str, lost: u64) -> io::Result<()> {
    let mut fields = typed("end");
    fields.insert("detail".to_owned(), json!(detail));
    fields.insert("lines".to_owned(), json!(chain.lines() + 1));
    fields.insert("lost".to_owned(), json!(lost));
    chain.add(fields)?;
    chain.flush()
}
