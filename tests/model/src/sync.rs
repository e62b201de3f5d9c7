//! What `crate::sync` is in the model: shuttle's, with a clock on which deadlines do pass.
//!
//! A wait with a deadline gets a thread of its own that ends it: as that thread may run at any time,
//! so may the deadline come, before what was waited for or after. It takes the clock with it.

use std::sync::atomic::{AtomicU64 as Plain, Ordering as PlainOrdering};
pub(crate) use std::time::Duration;

pub(crate) use shuttle::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
pub(crate) use std::sync::{OnceLock, PoisonError};

/// Nanoseconds since the schedule began. One thread runs at a time, and no schedule depends on it.
static NOW: Plain = Plain::new(0);

/// A schedule begins.
pub(crate) fn begin() {
    NOW.store(0, PlainOrdering::Relaxed);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.load(PlainOrdering::Relaxed))
    }

    pub(crate) fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    fn arrives(self) {
        NOW.fetch_max(self.0 + 1, PlainOrdering::Relaxed);
    }
}

impl std::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// A guard, and nothing of the time; or the same of a lock whose holder has panicked.
type Waited<'a, T> = Result<(MutexGuard<'a, T>, ()), PoisonError<(MutexGuard<'a, T>, ())>>;

#[derive(Clone, Default)]
pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>> {
        self.0.wait(guard)
    }

    /// Says nothing of whether time is up; whoever asks looks at the clock.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        left: Duration,
    ) -> Waited<'a, T> {
        let (deadline, waiting) = (Instant::now() + left, self.0.clone());
        let over = Arc::new(AtomicBool::new(false));
        let told = over.clone();
        shuttle::thread::spawn(move || {
            deadline.arrives();
            // Again and again, as the first may come before whoever waits does.
            while !told.load(Ordering::SeqCst) {
                waiting.notify_all();
                shuttle::thread::yield_now();
            }
        });
        let back = self.0.wait(guard);
        over.store(true, Ordering::SeqCst);
        match back {
            Ok(guard) => Ok((guard, ())),
            Err(poisoned) => Err(PoisonError::new((poisoned.into_inner(), ()))),
        }
    }
}

pub(crate) use shuttle::thread::Thread;

/// Threads, whose parking ends in time.
pub(crate) mod thread {
    pub(crate) use shuttle::thread::{current, park};

    use super::{Duration, Instant};

    pub(crate) fn park_timeout(left: Duration) {
        let (deadline, me) = (Instant::now() + left, current());
        shuttle::thread::spawn(move || {
            deadline.arrives();
            me.unpark();
        });
        park();
    }
}
