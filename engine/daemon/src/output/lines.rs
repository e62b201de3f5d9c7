//! Event lines, written by a thread of their own, so that a slow reader holds up no vCPU for long.
//!
//! The queue is bounded. A vCPU waits a moment for room in it; where the reader does not move even
//! then, lines are left out, and the `end` line says how many.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use oriel_engine::{Record, Sink, lines};
use oriel_protocol::Identity;

/// Lines that wait to be written.
const QUEUE: usize = 16_384;
/// How long a vCPU waits for room.
const PATIENCE: Duration = Duration::from_millis(500);

/// Writes records as JSON lines.
pub(crate) struct LineWriter {
    queue: Mutex<Option<Sender<Record>>>,
    lost: std::sync::Arc<AtomicU64>,
    /// The reader does not move: do not wait again before it has.
    stuck: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LineWriter {
    /// Writes to a file, or to standard output (`-`).
    pub(crate) fn open(place: &str, identity: Identity) -> anyhow::Result<Self> {
        let to: Box<dyn Write + Send> = match place {
            "-" => Box::new(io::stdout()),
            file => Box::new(
                File::create(file).with_context(|| format!("--events {file} cannot be written"))?,
            ),
        };
        let (queue, records) = bounded(QUEUE);
        let lost = std::sync::Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        let body = move || write_all(&records, BufWriter::new(to), &identity, &counted);
        let thread = std::thread::Builder::new()
            .name("event-lines".to_owned())
            .spawn(body)?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            lost,
            stuck: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what is left, and ends.
    pub(crate) fn finish(&self) {
        drop(
            self.queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if let Some(thread) = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            // A writer whose reader has gone has ended by itself.
            let _ = thread.join();
        }
    }
}

impl Sink for LineWriter {
    fn put(&self, record: Record) {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(queue) = queue else { return };
        if matches!(record, Record::End(_)) {
            // The last line is never left out: nobody waits for this thread but the program's end.
            let _ = queue.send(record);
            return;
        }
        let patience = if self.stuck.load(Ordering::Relaxed) {
            Duration::ZERO
        } else {
            PATIENCE
        };
        let stuck = queue.send_timeout(record, patience).is_err();
        self.stuck.store(stuck, Ordering::Relaxed);
        if stuck {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One line a record; flushed whenever nothing more waits, so that a pipe sees each at once.
fn write_all(
    records: &Receiver<Record>,
    mut to: impl Write,
    identity: &Identity,
    lost: &AtomicU64,
) {
    while let Ok(record) = records.recv() {
        let line = with_losses(lines::line(identity, &record), &record, lost);
        let written = writeln!(to, "{line}").and_then(|()| {
            if records.is_empty() {
                to.flush()
            } else {
                Ok(())
            }
        });
        if let Err(error) = written {
            tracing::warn!(%error, "event lines cannot be written any more");
            return;
        }
    }
    // The same error would have been seen above.
    let _ = to.flush();
}

/// The `end` line says what is missing.
fn with_losses(line: String, record: &Record, lost: &AtomicU64) -> String {
    let lost = lost.load(Ordering::Relaxed);
    match record {
        Record::End(_) => match line.strip_suffix('}') {
            Some(open) => format!("{open},\"lines_lost\":{lost}}}"),
            None => line,
        },
        Record::Start(_)
        | Record::Event(_)
        | Record::Alert(_)
        | Record::Refusal(_)
        | Record::Failure(_) => line,
        Record::Log(_) | Record::Report { .. } | Record::Tool(_) | Record::Policy(_) => line,
    }
}
