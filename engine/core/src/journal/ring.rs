//! The rings in front of the writer, one a vCPU and one for the threads that are none: bytes of
//! records, as many as there may be. Never writes to a file.
//!
//! A ring has two halves in turn: while the writer has one, the vCPU fills the other. The lock is
//! held for the length of one record, and by the writer for an exchange of two pointers.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Entry, codec};
use crate::sync::{Condvar, Duration, Mutex, MutexGuard, PoisonError};

/// The bytes of a record's length in a ring.
pub(super) const LENGTH: usize = 4;

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
    bytes: Vec<u8>,
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

    /// Puts a record in; whether there was room. One that is larger than any record may be is
    /// lost.
    #[inline]
    pub(super) fn put(&self, index: u32, entry: &Entry) -> bool {
        let Some(ring) = self.of(index) else {
            return false;
        };
        let mut state = ring.lock();
        let before = state.bytes.len();
        if before >= self.capacity {
            return false;
        }
        if before == 0 {
            // The other half comes back empty, but with room.
            state.bytes.reserve(self.capacity / 64);
        }
        state.bytes.extend_from_slice(&[0; LENGTH]);
        if !codec::put(entry, &mut state.bytes) {
            state.bytes.truncate(before);
            state.lost += 1;
            return true;
        }
        let end = state.bytes.len();
        let length = u32::try_from(end - before - LENGTH).unwrap_or(u32::MAX);
        if let Some(head) = state.bytes.get_mut(before..before + LENGTH) {
            head.copy_from_slice(&length.to_le_bytes());
        }
        drop(state);
        let half = self.capacity / 2;
        if before < half && end >= half {
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
    pub(super) fn drain(&self, spare: &mut Vec<u8>, mut taken: impl FnMut(u32, &[u8], u64)) {
        for (index, ring) in (0..).zip(&self.rings) {
            spare.clear();
            let lost = {
                let mut state = ring.lock();
                std::mem::swap(&mut state.bytes, spare);
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
