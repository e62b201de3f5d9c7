//! A thread's slot: what the watchdog looks at, and what the thread asks itself once it is
//! overdue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use super::Bell;
use crate::{
    Failure,
    limits::{Allowance, nanos},
};

/// Where one thread says that it is inside a policy. Each vCPU's thread has one, and so has each
/// other thread that calls policies (the tick's).
///
/// Only the thread that it belongs to calls policies with it. It is 128 bytes away from any
/// other, so that no two threads write to the same cache line or its neighbour.
#[derive(Debug)]
#[repr(align(128))]
pub struct Slot {
    turn: Watch,
    round: Watch,
    origin: Instant,
    bell: Arc<Bell>,
}

/// Something that is watched: odd while it lasts, another number each time.
#[derive(Debug, Default)]
struct Watch {
    number: AtomicU64,
    limit_ns: AtomicU64,
    /// Written by the watchdog: the number that has lasted for a whole limit.
    overdue: AtomicU64,
    /// The owner's own notes: which number it has begun to measure, and the clocks then.
    noticed: AtomicU64,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
}

/// What a thread finds when it looks at itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    GoOn,
    Overdue { cpu_ns: u64 },
    Stalled,
    RoundOver,
}

/// A call that lasts until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Watch);

/// All judges of one event, until this is dropped.
#[derive(Debug)]
#[must_use = "the round ends when this is dropped"]
pub struct Round<'a>(&'a Watch);

/// Since the owner noticed that it is overdue.
struct Spent {
    cpu_ns: u64,
    wall_ns: u64,
}

impl Slot {
    pub(super) fn new(bell: Arc<Bell>) -> Self {
        Self {
            turn: Watch::default(),
            round: Watch::default(),
            origin: Instant::now(),
            bell,
        }
    }

    /// Whether this bell wakes the watchdog that looks at it.
    pub(super) fn belongs_to(&self, bell: &Arc<Bell>) -> bool {
        Arc::ptr_eq(&self.bell, bell)
    }

    /// Whether one watchdog looks at both.
    pub(crate) fn has_watchdog_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bell, &other.bell)
    }

    /// Begins the round of one event: all policies that judge it until the round is dropped
    /// share this much CPU time.
    pub fn round(&self, total: Duration) -> Round<'_> {
        self.round.begin(nanos(total));
        Round(&self.round)
    }

    /// Begins a call.
    #[inline]
    pub(crate) fn enter(&self, allowance: Allowance) -> Result<Turn<'_>, Box<Failure>> {
        if self.turn.lasts() || self.round_is_over() {
            return Err(self.shut());
        }
        self.turn.begin(allowance.cpu_ns);
        self.bell.ring_if_dozing();
        Ok(Turn(&self.turn))
    }

    /// Why no call begins.
    #[cold]
    fn shut(&self) -> Box<Failure> {
        Box::new(match self.turn.lasts() {
            true => Failure::Nested,
            false => Failure::RoundOver,
        })
    }

    /// What a thread does about itself when the epoch has moved.
    pub(crate) fn pulse(&self, allowance: Allowance) -> Pulse {
        if self.round_is_over() {
            return Pulse::RoundOver;
        }
        let Some(spent) = self.turn.spent(self.origin) else {
            return Pulse::GoOn;
        };
        if spent.cpu_ns >= allowance.cpu_ns {
            return Pulse::Overdue {
                cpu_ns: spent.cpu_ns,
            };
        }
        // It had lasted for a limit before it was noticed.
        if spent.wall_ns + allowance.cpu_ns >= allowance.wall_ns {
            return Pulse::Stalled;
        }
        Pulse::GoOn
    }

    #[inline]
    fn round_is_over(&self) -> bool {
        self.round.is_overdue()
            && self
                .round
                .spent(self.origin)
                .is_some_and(|spent| spent.cpu_ns >= self.round.limit_ns.load(Ordering::Relaxed))
    }

    /// The watchdog's look. Says whether anything lasts, and whether it is overdue.
    pub(super) fn look(&self, sights: &mut Sights, now: Instant) -> Look {
        let turn = self.turn.look(&mut sights.turn, now);
        let round = self.round.look(&mut sights.round, now);
        Look {
            moves: turn.moves || round.moves,
            overdue: turn.overdue || round.overdue,
        }
    }
}

/// What the watchdog saw of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Something lasts, or has passed since.
    pub(super) moves: bool,
    /// And has for too long.
    pub(super) overdue: bool,
}

/// What the watchdog remembers of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sights {
    turn: Sight,
    round: Sight,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    number: u64,
    since: Option<Instant>,
}

impl Watch {
    /// The number that lasts is the owner's own word.
    #[inline]
    fn lasts(&self) -> bool {
        self.number.load(Ordering::Relaxed) % 2 == 1
    }

    #[inline]
    fn begin(&self, limit_ns: u64) {
        self.limit_ns.store(limit_ns, Ordering::Relaxed);
        let number = self.number.load(Ordering::Relaxed) | 1;
        self.number.store(number, Ordering::Release);
    }

    #[inline]
    fn end(&self) {
        let number = self.number.load(Ordering::Relaxed) | 1;
        self.number.store(number.wrapping_add(1), Ordering::Release);
    }

    #[inline]
    fn is_overdue(&self) -> bool {
        let number = self.number.load(Ordering::Relaxed);
        number % 2 == 1 && self.overdue.load(Ordering::Acquire) == number
    }

    /// On the owner's thread: what it has used since it found itself overdue; none if it is not.
    fn spent(&self, origin: Instant) -> Option<Spent> {
        if !self.is_overdue() {
            return None;
        }
        let number = self.number.load(Ordering::Relaxed);
        let (cpu_ns, wall_ns) = (thread_cpu_ns(), nanos(origin.elapsed()));
        if self.noticed.swap(number, Ordering::Relaxed) != number {
            self.cpu_ns.store(cpu_ns, Ordering::Relaxed);
            self.wall_ns.store(wall_ns, Ordering::Relaxed);
        }
        Some(Spent {
            cpu_ns: cpu_ns.saturating_sub(self.cpu_ns.load(Ordering::Relaxed)),
            wall_ns: wall_ns.saturating_sub(self.wall_ns.load(Ordering::Relaxed)),
        })
    }

    fn look(&self, sight: &mut Sight, now: Instant) -> Look {
        let number = self.number.load(Ordering::Acquire);
        let lasts = number % 2 == 1;
        if sight.number != number {
            *sight = Sight {
                number,
                since: Some(now),
            };
            return Look {
                moves: true,
                overdue: false,
            };
        }
        let limit = Duration::from_nanos(self.limit_ns.load(Ordering::Relaxed));
        let overdue = lasts && sight.since.is_some_and(|since| now - since >= limit);
        if overdue {
            self.overdue.store(number, Ordering::Release);
        }
        Look {
            moves: lasts,
            overdue,
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What this thread has burnt so far.
fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests;
