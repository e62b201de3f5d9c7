//! Pauses between instances that fail one after another, so that what does not work is not tried
//! at every event. Each pause is twice the one before, and jittered, so that the vCPUs of a VM do
//! not all try at once.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(30);
/// An instance that began and failed is made anew at once so often: who is asked for the first time
/// again may well answer.
const FREE: u32 = 2;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// An instance did not begin.
    Beginning,
    /// An instance that had begun did not answer.
    Call,
}

/// The pauses of one policy on one vCPU.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: u32,
    rests_until: Option<Instant>,
}

impl Breaker {
    /// It has answered.
    #[inline]
    pub(crate) fn well(&mut self) {
        if self.in_a_row != 0 {
            *self = Self::default();
        }
    }

    /// It has failed.
    pub(crate) fn failed(&mut self, what: Broken) {
        self.failed_at(what, Instant::now(), RandomState::new().hash_one(0));
    }

    fn failed_at(&mut self, what: Broken, now: Instant, chance: u64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let free = match what {
            Broken::Beginning => 0,
            Broken::Call => FREE,
        };
        self.rests_until = self
            .in_a_row
            .checked_sub(free + 1)
            .map(|grown| now + jittered(pause(grown), chance));
    }

    /// Whether no instance is to be made now.
    pub(crate) fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }
}

/// The pause after so many before it.
fn pause(grown: u32) -> Duration {
    let factor = 1_u32.checked_shl(grown).unwrap_or(u32::MAX);
    FIRST.saturating_mul(factor).min(LONGEST)
}

/// Between a half and the whole of it.
fn jittered(pause: Duration, chance: u64) -> Duration {
    let part = u32::try_from(chance % 1024).unwrap_or(0);
    pause / 2 + pause / 2048 * part
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(breaker: &mut Breaker, what: Broken, now: Instant) -> Option<Duration> {
        breaker.failed_at(what, now, u64::MAX);
        breaker.rests_until.map(|until| until - now)
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let mut last = Duration::ZERO;
        for _ in 0..9 {
            let next = rest(&mut breaker, Broken::Beginning, now).unwrap();
            assert!(next > last && next <= LONGEST, "{next:?} after {last:?}");
            last = next;
        }
        for _ in 0..100 {
            let next = rest(&mut breaker, Broken::Beginning, now);
            assert_eq!(next, Some(jittered(LONGEST, u64::MAX)));
        }
    }

    #[test]
    fn who_began_gets_a_fresh_instance_at_once_the_first_times() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let rests = [(); 3].map(|()| rest(&mut breaker, Broken::Call, now).is_some());
        assert_eq!(rests, [false, false, true]);
        assert!(!Breaker::default().rests());
    }

    #[test]
    fn an_answer_ends_the_row() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            breaker.failed_at(Broken::Beginning, now, 0);
        }
        assert!(breaker.rests());
        breaker.well();
        assert!(!breaker.rests());
        assert_eq!(rest(&mut breaker, Broken::Call, now), None);
    }

    #[test]
    fn jitter_takes_off_a_half_at_most() {
        for chance in [0, 1, 511, 1023, 1024, u64::MAX] {
            let jittered = jittered(LONGEST, chance);
            assert!(jittered >= LONGEST / 2 && jittered <= LONGEST, "{chance}");
        }
    }
}
