//! The rings in front of the writer, one a vCPU and one for the threads that are none: as much of a
//! batch each as there may be. Never writes to a file.
//!
//! A ring has two batches in turn: while the writer has one, the vCPU fills the other. The lock is
//! held for the length of one record, and by the writer for an exchange of two batches.

use std::sync::atomic::{AtomicBool, Ordering};

use oriel_journal::Entry;

use super::batch::{Batch, Plain};
use crate::sync::{Condvar, Duration, Mutex, MutexGuard, PoisonError};

/// All rings.
pub(super) struct Rings {
    rings: Box<[Ring]>,
    capacity: usize,
    bell: Mutex<Bell>,
    rung: Condvar,
}

/// Records of one vCPU that wait for the writer.
#[derive(Default)]
struct Ring {
    state: Mutex<State>,
    /// A vCPU has waited in vain: not again, before the writer has moved.
    stuck: AtomicBool,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// Calls that found no room, so far.
    lost: u64,
}

/// What the writer is called for.
#[derive(Default)]
struct Bell {
    rung: bool,
    closed: bool,
    /// What the last record says; none: there is to be none.
    farewell: Option<String>,
}

impl Rings {
    pub(super) fn new(count: u32, capacity: usize) -> Self {
        Self {
            rings: (0..count).map(|_| Ring::default()).collect(),
            capacity,
            bell: Mutex::default(),
            rung: Condvar::new(),
        }
    }

    /// The ring of a vCPU; whoever is none shares the last.
    fn of(&self, index: u32) -> Option<&Ring> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.rings.get(index).or_else(|| self.rings.last())
    }

    /// Leaves a plain call to the writer; whether there was room. It is made where it is to be, since
    /// moving it there would take longer.
    #[inline]
    pub(super) fn leave(&self, index: u32, plain: impl FnOnce() -> Plain) -> bool {
        self.fill(index, |batch| {
            batch.leave(plain());
            true
        })
    }

    /// Puts a record in; whether there was room. One that is larger than any record may be is
    /// lost.
    pub(super) fn put(&self, index: u32, entry: &Entry) -> bool {
        self.fill(index, |batch| batch.put(entry))
    }

    #[inline]
    fn fill(&self, index: u32, put: impl FnOnce(&mut Batch) -> bool) -> bool {
        let Some(ring) = self.of(index) else {
            return false;
        };
        let mut state = ring.lock();
        let before = state.batch.size();
        if before >= self.capacity {
            return false;
        }
        let is_in = put(&mut state.batch);
        state.lost += u64::from(!is_in);
        let after = state.batch.size();
        drop(state);
        let half = self.capacity / 2;
        if before < half && after >= half {
            self.ring_the_bell();
        }
        true
    }

    /// A call is not written down.
    pub(super) fn lose(&self, index: u32) {
        if let Some(ring) = self.of(index) {
            ring.lock().lost += 1;
        }
    }

    /// Whether it makes no sense to wait for room.
    pub(super) fn is_stuck(&self, index: u32) -> bool {
        self.of(index)
            .is_none_or(|ring| ring.stuck.load(Ordering::Relaxed))
    }

    /// Nobody waits for room any more, until the writer has moved.
    pub(super) fn give_up(&self, index: u32) {
        if let Some(ring) = self.of(index) {
            ring.stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Wakes the writer before its time.
    pub(super) fn ring_the_bell(&self) {
        self.bell().rung = true;
        self.rung.notify_one();
    }

    /// Nothing more is to be written than what is here.
    pub(super) fn close(&self, detail: Option<&str>) {
        let mut bell = self.bell();
        bell.closed = true;
        bell.farewell = detail.map(str::to_owned);
        self.rung.notify_one();
    }

    /// Waits for the bell, or so long; whether the journal is closed.
    pub(super) fn wait(&self, period: Duration) -> bool {
        let mut bell = self.bell();
        if !bell.rung && !bell.closed {
            let waited = self.rung.wait_timeout(bell, period);
            bell = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        bell.rung = false;
        bell.closed
    }

    /// What the last record is to say.
    pub(super) fn farewell(&self) -> Option<String> {
        self.bell().farewell.take()
    }

    /// Hands what waits to `taken`, ring by ring, with the number of calls lost there so far.
    pub(super) fn drain(&self, spare: &mut Batch, mut taken: impl FnMut(u32, &Batch, u64)) {
        for (index, ring) in (0..).zip(&self.rings) {
            spare.clear();
            let lost = {
                let mut state = ring.lock();
                std::mem::swap(&mut state.batch, spare);
                state.lost
            };
            ring.stuck.store(false, Ordering::Relaxed);
            taken(index, spare, lost);
        }
    }

    fn bell(&self) -> MutexGuard<'_, Bell> {
        // Each change to it is an assignment.
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        // A record that is half in has no length, and the writer passes over the rest.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
