//! What one policy may use.

use std::time::Duration;

use serde::Serialize;

use crate::manifest::Deadlines;

/// The most bytes of a log line; what is longer is cut.
pub const LOG_MAX: usize = 4096;
/// The most bytes of an alert: its message and its fields together.
pub const ALERT_MAX: usize = 4096;
/// The most fields of an alert.
pub const FIELDS_MAX: usize = 32;
/// The most bytes of a metric's name.
pub const NAME_MAX: usize = 128;
/// The most bytes of an XSAVE area.
pub const XSAVE_MAX: usize = 4096;
/// The most filters of one kind.
pub const FILTERS_MAX: usize = 4096;
/// The most bytes that a policy hands over in one call of either direction; more is a trap.
pub(crate) const HANDED_OVER_MAX: usize = 2 << 20;

/// What one policy may use. The operator's word is the upper bound; a manifest can ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// CPU time of one judgement, observation or notice.
    pub event: Duration,
    /// CPU time of instantiation and `init`, and of `save` and `restore`.
    pub init: Duration,
    /// CPU time of one tick.
    pub tick: Duration,
    /// How many times its CPU time a call may take on the wall clock.
    pub wall_factor: u32,
    /// Bytes of one linear memory; of an instance in the pool, the pool's own limit at most.
    pub memory: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Commands of one call.
    pub commands: u32,
    /// Log lines of one call.
    pub logs: u32,
    /// Alerts of one call.
    pub alerts: u32,
    /// Bytes of saved state.
    pub saved: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event: Duration::from_millis(10),
            init: Duration::from_millis(500),
            tick: Duration::from_millis(100),
            wall_factor: 20,
            memory: 64 << 20,
            table_elements: 10_000,
            commands: 1024,
            logs: 64,
            alerts: 16,
            saved: 1 << 20,
        }
    }
}

impl Limits {
    /// These limits, or less where the manifest asks for less.
    #[must_use]
    pub fn within(mut self, deadlines: &Deadlines) -> Self {
        let tighten = |limit: &mut Duration, asked: Option<u64>| {
            *limit = asked.map_or(*limit, |ms| Duration::from_millis(ms).min(*limit));
        };
        tighten(&mut self.event, deadlines.event_ms);
        tighten(&mut self.init, deadlines.init_ms);
        tighten(&mut self.tick, deadlines.tick_ms);
        self
    }

    /// The shortest time of them all, which says how often the watchdog looks.
    pub(crate) fn shortest(&self) -> Duration {
        self.event.min(self.init).min(self.tick)
    }
}

/// The time that one call has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// CPU time.
    pub(crate) cpu_ns: u64,
    /// Time on the wall clock.
    pub(crate) wall_ns: u64,
}

/// The time that each sort of call has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) event: Allowance,
    pub(crate) init: Allowance,
    pub(crate) tick: Allowance,
}

impl From<&Limits> for Times {
    fn from(limits: &Limits) -> Self {
        let allow = |cpu| Allowance {
            cpu_ns: nanos(cpu),
            wall_ns: nanos(cpu).saturating_mul(limits.wall_factor.into()),
        };
        Self {
            event: allow(limits.event),
            init: allow(limits.init),
            tick: allow(limits.tick),
        }
    }
}

/// A policy's own words, of a length that can be told.
pub(crate) fn cut(mut words: String) -> String {
    words.truncate(words.floor_char_boundary(LOG_MAX));
    words
}

/// A time as one number; centuries are cut off.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
