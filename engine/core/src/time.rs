//! What time it is for a VM.
//!
//! A precise reading costs as much as a tenth of a policy's call. Where nobody is told of events,
//! nobody compares times either, and the kernel's coarse clock (one tick, 1 to 10 ms) will do:
//! policies get a coarse time, which is also what keeps them from timing the host.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The time since a VM started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    started: Instant,
    /// When it started by the coarse clock; none: the precise one is used.
    coarse: Option<Duration>,
}

impl Time {
    /// A VM starts.
    pub(crate) fn start(precise: bool) -> Self {
        Self {
            started: Instant::now(),
            coarse: (!precise).then(coarse),
        }
    }

    /// Nanoseconds since then, never going back.
    pub(crate) fn now(&self) -> u64 {
        let since = match self.coarse {
            Some(started) => coarse().saturating_sub(started),
            None => self.started.elapsed(),
        };
        // In 64 bits, which last for 584 years; `as_nanos` would take 128.
        since
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(since.subsec_nanos().into())
    }

    /// How long it has run, precisely.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

fn coarse() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_clock_goes_back() {
        for time in [Time::start(true), Time::start(false)] {
            let readings: Vec<_> = (0..1000).map(|_| time.now()).collect();
            assert!(readings.is_sorted());
        }
    }
}
