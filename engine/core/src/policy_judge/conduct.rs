//! How a policy behaves on one VM: three strikes in a minute and it is not asked any more. It
//! stays subscribed, and its failure verdict answers, until an operator acts.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use oriel_policy::Failure;

const STRIKES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);

/// A policy's failures on one VM, on all its vCPUs.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    strikes: Mutex<VecDeque<Instant>>,
    quarantined: AtomicBool,
}

impl Conduct {
    /// Whether it is not asked any more.
    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Counts a failure; answers whether the policy is in quarantine now.
    pub(crate) fn strike(&self, failure: &Failure) -> bool {
        if failure.is_strike() {
            self.strike_at(Instant::now());
        }
        self.is_quarantined()
    }

    /// An operator lets it be asked again.
    pub(crate) fn release(&self) {
        self.strikes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.quarantined.store(false, Ordering::Relaxed);
    }

    fn strike_at(&self, now: Instant) {
        let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
        strikes.push_back(now);
        while strikes
            .front()
            .is_some_and(|&first| now.duration_since(first) > WINDOW)
        {
            strikes.pop_front();
        }
        if strikes.len() >= STRIKES {
            self.quarantined.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_strike_in_a_minute_is_the_last() {
        let conduct = Conduct::default();
        let start = Instant::now();
        for (second, out) in [(0, false), (59, false), (61, false), (62, true)] {
            conduct.strike_at(start + Duration::from_secs(second));
            assert_eq!(conduct.is_quarantined(), out, "after second {second}");
        }
    }
}
