//! What the instances of one policy on one VM use up together: what is limited by the second, how
//! many there are, and what was dropped because of it. Never asks anybody for anything.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_protocol::Refusal;

use crate::{Failure, Limits};

const SECOND: Duration = Duration::from_secs(1);
/// The operator is told of what was dropped this often, and no oftener.
const TELLING: Duration = Duration::from_secs(10);

/// What one policy on one VM uses up.
#[derive(Debug)]
pub(crate) struct Meter {
    log_bytes: Rate,
    alerts: Rate,
    instances: AtomicUsize,
    lost: Mutex<Lost>,
    /// Something was dropped that the operator is to be told of now.
    news: AtomicBool,
    spent: Mutex<Spent>,
}

/// What was dropped because a limit was reached. A policy is told of alerts; log lines and
/// measurements have no answer, so it does not know of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Log lines.
    pub logs: u64,
    /// Measurements.
    pub metrics: u64,
    /// Alerts.
    pub alerts: u64,
}

/// What the events that a policy has judged have used up, where the host counts it
/// ([`HostSettings::count_fuel`](crate::HostSettings)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many events.
    pub events: u64,
    /// Wasm instructions, as Wasmtime's fuel counts them.
    pub instructions: u64,
    /// How often it asked the host for something.
    pub host_calls: u64,
    /// The most bytes of memory that one instance has had.
    pub memory: usize,
}

#[derive(Debug, Default)]
struct Lost {
    total: Dropped,
    untold: Dropped,
    told: Option<Instant>,
}

/// So much a second.
#[derive(Debug)]
struct Rate {
    most: u64,
    window: Mutex<Option<Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    spent: u64,
}

/// An instance that there is, until this is dropped.
#[derive(Debug)]
pub(crate) struct Living(Arc<Meter>);

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            log_bytes: Rate::new(limits.log_bytes_per_second),
            alerts: Rate::new(limits.alerts_per_second),
            instances: AtomicUsize::new(0),
            lost: Mutex::default(),
            news: AtomicBool::new(false),
            spent: Mutex::default(),
        })
    }

    /// So many bytes are about to be logged.
    pub(crate) fn log(&self, bytes: usize) -> Result<(), Refusal> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.log_bytes.spend(bytes, Instant::now())
    }

    /// An alert is about to be raised.
    pub(crate) fn alert(&self) -> Result<(), Refusal> {
        self.alerts.spend(1, Instant::now())
    }

    /// One more instance, if there may be so many.
    pub(crate) fn admit(self: &Arc<Self>, most: usize) -> Result<Living, Failure> {
        let living = Living(Arc::clone(self));
        let before = self.instances.fetch_add(1, Ordering::Relaxed);
        if before >= most {
            return Err(Failure::Crowded { most });
        }
        Ok(living)
    }

    /// An event has used up so much.
    pub(crate) fn spend(&self, instructions: u64, host_calls: u64, memory: usize) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.events += 1;
        spent.instructions = spent.instructions.saturating_add(instructions);
        spent.host_calls = spent.host_calls.saturating_add(host_calls);
        spent.memory = spent.memory.max(memory);
    }

    /// What events have used up so far.
    pub(crate) fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was dropped.
    pub(crate) fn lose(&self, what: fn(&mut Dropped) -> &mut u64) {
        self.lose_at(what, Instant::now());
    }

    fn lose_at(&self, what: fn(&mut Dropped) -> &mut u64, now: Instant) {
        let mut lost = self.lost();
        *what(&mut lost.total) += 1;
        *what(&mut lost.untold) += 1;
        let due = |told| now.saturating_duration_since(told) >= TELLING;
        if lost.told.is_none_or(due) {
            self.news.store(true, Ordering::Relaxed);
        }
    }

    /// What was dropped since the beginning.
    pub(crate) fn dropped(&self) -> Dropped {
        self.lost().total
    }

    /// What was dropped since this was last asked, if it is time to tell somebody.
    #[inline]
    pub(crate) fn news(&self) -> Option<Dropped> {
        if !self.news.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.take_news(Instant::now()))
    }

    #[cold]
    fn take_news(&self, now: Instant) -> Dropped {
        let mut lost = self.lost();
        self.news.store(false, Ordering::Relaxed);
        lost.told = Some(now);
        std::mem::take(&mut lost.untold)
    }

    fn lost(&self) -> MutexGuard<'_, Lost> {
        // Numbers; a panic leaves none of them half written.
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rate {
    const fn new(most: u64) -> Self {
        Self {
            most,
            window: Mutex::new(None),
        }
    }

    /// Spends it if that much is left of this second.
    fn spend(&self, amount: u64, now: Instant) -> Result<(), Refusal> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = window.filter(|begun| now.saturating_duration_since(begun.since) < SECOND);
        let begun = begun.unwrap_or(Window {
            since: now,
            spent: 0,
        });
        let spent = begun.spent.saturating_add(amount);
        if spent > self.most {
            *window = Some(begun);
            return Err(Refusal::Limit);
        }
        *window = Some(Window { spent, ..begun });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_begins_anew_with_each_second() {
        let (rate, start) = (Rate::new(10), Instant::now());
        assert_eq!(rate.spend(6, start), Ok(()));
        assert_eq!(rate.spend(6, start), Err(Refusal::Limit));
        assert_eq!(rate.spend(4, start + SECOND / 2), Ok(()), "what fits fits");
        assert_eq!(rate.spend(1, start + SECOND / 2), Err(Refusal::Limit));
        assert_eq!(rate.spend(10, start + SECOND), Ok(()));
        assert_eq!(
            rate.spend(11, start + 9 * SECOND),
            Err(Refusal::Limit),
            "what is too large for a second is never spent"
        );
    }

    #[test]
    fn what_is_dropped_is_told_once_in_a_while_and_nothing_is_told_twice() {
        let (meter, start) = (Meter::new(&Limits::default()), Instant::now());
        let lose = |times: u64, at| {
            for _ in 0..times {
                meter.lose_at(|lost| &mut lost.logs, at);
            }
        };
        assert_eq!(meter.news(), None);
        lose(3, start);
        assert_eq!(meter.take_news(start).logs, 3, "at once");
        lose(4, start + TELLING / 2);
        assert_eq!(meter.news(), None, "not yet");
        lose(1, start + TELLING);
        assert_eq!(meter.news().map(|lost| lost.logs), Some(5));
        assert_eq!((meter.news(), meter.dropped().logs), (None, 8));
    }

    #[test]
    fn instances_are_counted_until_they_are_gone() {
        let meter = Meter::new(&Limits::default());
        let first = meter.admit(1).unwrap();
        assert_eq!(meter.admit(1).err(), Some(Failure::Crowded { most: 1 }));
        drop(first);
        assert!(meter.admit(1).is_ok());
    }
}
