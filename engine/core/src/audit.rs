//! The audit trail: every command of every judge with its answer, as JSON lines of which each
//! vouches for the one before it. Owns the chain, the queue and the thread that writes; never
//! decides what is granted, and never writes on a vCPU's thread.
//!
//! ```text
//!   gate ── announce ──► a place in the queue, or a no ── the command ── answered ──► queue
//!                                                                                      │ writer
//!                                   FILE ◄── line, hash(hash before, line) ◄───────────┘
//! ```
//!
//! A command gets its place before it runs, so what has had an effect has its line; so does an order
//! about the policies themselves. Reads of memory are counted, and their count is a line with the
//! event that they belong to.

mod chain;
mod entry;
mod line;
mod order;
mod queue;
mod short;
mod verify;
mod writer;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use oriel_protocol::{Identity, Moment, Refusal};

pub use order::{Orderer, Verb};
pub use verify::{Broken, Verified, verify};

pub(crate) use entry::{Entry, Opened, Reads};
pub(crate) use line::{Command, Who};
pub(crate) use order::Order;
pub(crate) use short::Audited;

use line::Line;
use queue::Queue;

/// How a trail behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of a command for which the queue has no place.
    pub full: Full,
    /// Places in the queue.
    pub places: usize,
    /// How long a command waits for a place.
    pub patience: Duration,
}

/// What becomes of a command that cannot be written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// It is refused as [`Refusal::Unavailable`]: nothing happens that is not in the trail.
    #[default]
    Refuse,
    /// It is run, and counted as lost.
    Drop,
}

impl Default for Settings {
    fn default() -> Self {
        // A line is some 300 bytes: the queue is at most a few MiB. The patience is a fraction of
        // what a judge waits for another vCPU.
        Self {
            full: Full::default(),
            places: 8192,
            patience: Duration::from_millis(50),
        }
    }
}

/// How a trail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The hash in the last line, in hexadecimal; none if it could not be written. Kept somewhere
    /// else, it shows whether the file is still the one that was written.
    pub hash: Option<String>,
    /// Lines in the file, if it could be written to its end.
    pub lines: u64,
    /// Commands that are not in it.
    pub lost: u64,
}

/// The audit trail of one VM.
pub struct Audit {
    queue: Arc<Queue>,
    settings: Settings,
    writer: Mutex<Option<JoinHandle<Closed>>>,
}

impl Audit {
    /// Begins a trail, with a line that names the VM and the time.
    ///
    /// # Errors
    /// If the first line cannot be written, or there is no thread for the others.
    pub fn start(
        to: impl Write + Send + 'static,
        identity: &Identity,
        settings: Settings,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Queue::new(settings.places));
        let chain = writer::begin(to, identity)?;
        let taken = queue.clone();
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let thread = thread.spawn(move || writer::run(&taken, chain))?;
        Ok(Arc::new(Self {
            queue,
            settings,
            writer: Mutex::new(Some(thread)),
        }))
    }

    /// Writes what is left and the closing line, which holds this text. None: it is closed
    /// already.
    pub fn finish(&self, detail: &str) -> Option<Closed> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = writer.take()?;
        self.queue.close(Some(detail));
        thread.join().ok()
    }

    /// Announces a command of a judge; `reads` are those of its call so far.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if there is no place, and the operator wants no command that is
    /// not in the trail.
    pub(crate) fn announce<C: Audited>(
        &self,
        who: Who,
        moment: Moment,
        on: Option<u32>,
        call: &C,
        reads: &mut Option<Reads>,
    ) -> Result<Opened, Refusal> {
        if let Some(read) = call.read() {
            Reads::make_room(self, who, moment, reads)?;
            return Ok(Opened::Read(read));
        }
        // What was read before this command stands before it.
        *reads = None;
        let command = Command {
            who,
            moment,
            name: call.id().name(),
            on,
            arguments: call.arguments(),
        };
        self.open(command).map(Opened::Command)
    }

    /// A place for one command.
    ///
    /// # Errors
    /// As [`announce`](Self::announce).
    pub(crate) fn open(&self, command: Command) -> Result<Entry, Refusal> {
        self.place().map(|place| Entry::new(place, command))
    }

    /// Writes of what the operator did, which nothing keeps from being done.
    pub(crate) fn note(&self, command: Command, answer: Result<(), Refusal>) {
        let place = self.queue.place(self.settings.patience);
        match place {
            Some(place) => place.put(Line::Command(Box::new(command), Some(answer))),
            None => self.queue.lose(),
        }
    }

    fn place(&self) -> Result<Option<queue::Place>, Refusal> {
        match self.queue.place(self.settings.patience) {
            Some(place) => Ok(Some(place)),
            None if self.settings.full == Full::Refuse => Err(Refusal::Unavailable),
            None => {
                self.queue.lose();
                Ok(None)
            }
        }
    }
}

/// A trail that nobody has finished has no closing line, as if it had been cut.
impl Drop for Audit {
    fn drop(&mut self) {
        self.queue.close(None);
        let writer = self.writer.get_mut();
        if let Some(thread) = writer.unwrap_or_else(PoisonError::into_inner).take() {
            // It has told of its own trouble.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Audit({:?})", self.settings)
    }
}

#[cfg(test)]
mod tests;
