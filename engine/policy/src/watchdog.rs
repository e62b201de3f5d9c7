//! Stops policies that do not come to an end.
//!
//! A call costs two stores: it makes its thread's [`Slot`] odd and even again, and reads no clock.
//! The watchdog looks at all slots every quarter of the shortest limit. A turn that has not
//! changed for a whole limit is *overdue*: the watchdog notes that in the slot and moves the
//! engines' epoch, which calls every running policy back **on its own thread**. There the thread
//! looks at its own slot: not overdue, go on; overdue, take the CPU clock, and stop once the turn
//! has burnt another limit of CPU time, or has been waited for to the bound of the wall clock.
//!
//! ```text
//!   even ──enter──► odd ──unchanged for a limit──► overdue ──a limit of CPU time──► stopped
//!    ▲               │                                │
//!    └────leave──────┴────────────────────────────────┘
//! ```
//!
//! So a loaded host stops nobody early, and a policy that loops is stopped after two limits and
//! a quarter. While nothing moves the watchdog dozes, looking every 100 ms, and the next call
//! wakes it; while no policy is prepared it sleeps. It never calls, kills or frees a policy.

mod slot;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, Thread},
    time::{Duration, Instant},
};

use slot::Sights;
pub(crate) use slot::{Pulse, Turn};
pub use slot::{Round, Slot};

/// How often it looks while nothing moves.
const DOZE: Duration = Duration::from_millis(100);
/// How many quiet looks come before a doze.
const QUIET: u32 = 64;
/// It never looks more often than this.
const SHORTEST_PAUSE: Duration = Duration::from_micros(250);

/// The watchdog's thread, ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A policy whose limits the watchdog minds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Minding {
    watchdog: Arc<Watchdog>,
    limit: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    slots: Mutex<Vec<(Weak<Slot>, Sights)>>,
    limits: Mutex<BTreeMap<Duration, usize>>,
    bell: Arc<Bell>,
    ended: AtomicBool,
}

/// Wakes the watchdog.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    dozing: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Watchdog {
    /// Starts it; `bump` moves the epoch of every engine.
    pub(crate) fn start(bump: impl Fn() + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("oriel-watchdog".into())
            .spawn(move || own.watch(&bump))?;
        // It has not been set before: this is the only place.
        let _ = shared.bell.thread.set(thread.thread().clone());
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// A slot for one more thread.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        let slot = Arc::new(Slot::new(Arc::clone(&self.shared.bell)));
        lock(&self.shared.slots).push((Arc::downgrade(&slot), Sights::default()));
        slot
    }

    /// Minds a limit too.
    pub(crate) fn mind(self: &Arc<Self>, limit: Duration) -> Minding {
        *lock(&self.shared.limits).entry(limit).or_default() += 1;
        self.shared.bell.ring();
        Minding {
            watchdog: Arc::clone(self),
            limit,
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.bell.ring();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, there is nobody left to watch.
            let _ = thread.join();
        }
    }
}

impl Minding {
    /// Whether the same watchdog looks at this slot.
    pub(crate) fn covers(&self, slot: &Slot) -> bool {
        slot.belongs_to(&self.watchdog.shared.bell)
    }
}

impl Drop for Minding {
    fn drop(&mut self) {
        let mut limits = lock(&self.watchdog.shared.limits);
        if let Some(count) = limits.get_mut(&self.limit) {
            *count -= 1;
            if *count == 0 {
                limits.remove(&self.limit);
            }
        }
    }
}

impl Shared {
    fn watch(&self, bump: &dyn Fn()) {
        let mut quiet = 0;
        while !self.ended.load(Ordering::Acquire) {
            self.rest(quiet);
            quiet = if self.look(bump) {
                0
            } else {
                quiet.saturating_add(1)
            };
        }
    }

    /// Sleeps until the next look.
    fn rest(&self, quiet: u32) {
        let Some(limit) = self.shortest() else {
            return thread::park();
        };
        if quiet < QUIET {
            return thread::park_timeout((limit / 4).max(SHORTEST_PAUSE));
        }
        // A call that begins right now may miss the flag; then it is seen by the doze's end.
        self.bell.dozing.store(true, Ordering::Relaxed);
        thread::park_timeout(DOZE);
        self.bell.dozing.store(false, Ordering::Relaxed);
    }

    /// Looks at every slot; says whether anything moves.
    fn look(&self, bump: &dyn Fn()) -> bool {
        let now = Instant::now();
        let (mut moves, mut overdue) = (false, false);
        lock(&self.slots).retain_mut(|(slot, sights)| {
            let Some(slot) = slot.upgrade() else {
                return false;
            };
            let look = slot.look(sights, now);
            moves |= look.moves;
            overdue |= look.overdue;
            true
        });
        if overdue {
            bump();
        }
        moves
    }

    fn shortest(&self) -> Option<Duration> {
        lock(&self.limits).keys().next().copied()
    }
}

impl Bell {
    /// What every call does: one load of a line that is hardly ever written.
    #[inline]
    pub(crate) fn ring_if_dozing(&self) {
        if self.dozing.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    #[cold]
    fn ring(&self) {
        self.dozing.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// A lock whose holder panicked protects nothing that can be half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
