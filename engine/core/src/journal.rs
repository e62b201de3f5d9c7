//! The journal of a VM: what every instance of every policy was asked, what it was told by the host
//! while it answered, and what it answered. Owns the rings in front of the file, the thread that writes,
//! and asking again; the file's form and reading it are `oriel-journal`'s. Never judges, and never writes
//! on a vCPU's thread.
//!
//! ```text
//!   an instance's call ── tape ──► ring of the vCPU ──► writer ──► FILE ──► Recording ──► replay
//!        │    ▲                    (bounded: block
//!        ▼    │ every answer        or drop, counted)
//!       desk ─┘
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `ring`, `batch`, `writer` | the way into the file |
//! | `tape` | what is noted while an instance is called |
//! | `terms` | the policy host's words as a journal's |
//! | [`lines`] | records in words and as JSON |
//! | [`entry`], [`recording`] | what stands in a journal, and one that is read |
//! | [`replay`] | a policy that is asked again |

mod batch;
pub mod lines;
pub mod replay;
mod ring;
mod tape;
pub(crate) mod terms;
mod writer;

use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use oriel_protocol::Identity;

pub use oriel_journal::{Entry, JournalError, Recording, entry, recording};

pub(crate) use tape::{Tape, failed, instantiate};

use batch::Plain;
use oriel_journal::codec;
use ring::Rings;

use crate::desk::Desk;

/// How a journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What becomes of a call for which there is no room.
    pub full: Full,
    /// Bytes that wait for the writer, of each vCPU.
    pub ring: usize,
    /// How long a vCPU waits for room, where it does.
    pub patience: Duration,
}

/// What becomes of a call that cannot be written down now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    /// The vCPU waits for room, serving its mailbox meanwhile. Past its patience the call is
    /// counted as lost all the same: a guest never waits for ever.
    #[default]
    Block,
    /// The guest goes on, and the call is counted as lost.
    Drop,
}

impl Default for Settings {
    fn default() -> Self {
        // A plain call waits in some 160 bytes: 2 MiB are 13,000 of them.
        Self {
            full: Full::default(),
            ring: 2 << 20,
            patience: Duration::from_secs(60),
        }
    }
}

/// How a journal ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// Records in the file, with the first and the last.
    pub records: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Calls that are not in it.
    pub lost: u64,
    /// Whether it has its last record; without, the file could not be written to its end.
    pub whole: bool,
}

/// The journal of one VM, being written.
pub struct Journal {
    rings: Arc<Rings>,
    settings: Settings,
    writer: Mutex<Option<JoinHandle<Closed>>>,
    /// Calls of shared instances so far.
    turns: AtomicU64,
}

impl Journal {
    /// Begins a journal of a VM with so many vCPUs.
    ///
    /// # Errors
    /// If its first record cannot be written, or there is no thread for the others.
    pub fn start(
        mut to: impl Write + Send + 'static,
        (identity, vcpus): (&Identity, u32),
        settings: Settings,
    ) -> io::Result<Arc<Self>> {
        let begun = writer::begin(&mut to, identity, vcpus)?;
        // One more for whoever is no vCPU: clocks, and revisions before they judge.
        let rings = Arc::new(Rings::new(vcpus.saturating_add(1), settings.ring));
        let taken = rings.clone();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || writer::run(&taken, to, begun))?;
        Ok(Arc::new(Self {
            rings,
            settings,
            writer: Mutex::new(Some(thread)),
            turns: AtomicU64::new(0),
        }))
    }

    /// Writes what is left and the last record, which says how the VM ended. None: it is closed
    /// already.
    pub fn finish(&self, detail: &str) -> Option<Closed> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = writer.take()?;
        self.rings.close(Some(detail));
        thread.join().ok()
    }

    /// Writes down an entry of a vCPU, waiting for room if that is wanted.
    pub(crate) fn put(&self, entry: &Entry, desk: &mut Desk) {
        if !self.rings.put(desk.index(), entry) {
            self.full(entry, desk);
        }
    }

    /// Leaves a plain call of a vCPU to the writer, waiting for room if that is wanted.
    #[inline]
    fn leave(&self, plain: impl Fn() -> Plain, desk: &mut Desk) {
        if !self.rings.leave(desk.index(), &plain) {
            self.full(&plain().into(), desk);
        }
    }

    /// The number of a call of an instance that vCPUs share, taken while it is this one's turn.
    pub(crate) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An instance is no more. Whoever drops it waits for nothing.
    pub(crate) fn gone(&self, instance: u64) {
        self.rings.put(u32::MAX, &Entry::Gone { instance });
    }

    /// The ring is full.
    #[cold]
    fn full(&self, entry: &Entry, desk: &mut Desk) {
        let index = desk.index();
        if self.settings.full == Full::Block {
            let until = std::time::Instant::now() + self.settings.patience;
            while !self.rings.is_stuck(index)
                && !desk.is_ending()
                && std::time::Instant::now() < until
            {
                if self.rings.put(index, entry) {
                    return;
                }
                desk.wait_a_little(&self.rings);
            }
            // Who has waited in vain waits no more until the writer has moved.
            self.rings.give_up(index);
        }
        self.rings.lose(index);
    }
}

impl Desk {
    /// Waits for a letter, or for a moment.
    fn wait_a_little(&mut self, rings: &Rings) {
        rings.ring_the_bell();
        let until = std::time::Instant::now() + writer::PERIOD;
        if let Some(mail) = self.mailbox().wait(Some(until)) {
            self.serve(mail);
        }
    }
}

/// A journal that nobody has finished has no last record, as if it had been cut.
impl Drop for Journal {
    fn drop(&mut self) {
        self.rings.close(None);
        let writer = self.writer.get_mut();
        if let Some(thread) = writer.unwrap_or_else(PoisonError::into_inner).take() {
            // It has told of its own trouble.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Journal({:?})", self.settings)
    }
}

#[cfg(test)]
mod tests;
