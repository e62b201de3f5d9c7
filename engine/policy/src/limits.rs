//! What one policy may use.

mod table;

use std::time::Duration;

use serde::Serialize;

pub use self::table::{LimitError, Row, TABLE};
use crate::Manifest;

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
/// What no memory of 32-bit addresses gets past.
const NEVER: usize = 4 << 30;
/// So many refused commands past its limit a call may always make before it is a storm.
const GRACE: u32 = 16;

/// What one policy may use. The operator's word is the upper bound; a manifest can ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// CPU time of one judgement, observation or notice.
    pub event: Duration,
    /// CPU time of instantiation and `init`, and of being asked for filters.
    pub init: Duration,
    /// CPU time of one tick.
    pub tick: Duration,
    /// CPU time of `save`, and of `restore`.
    pub state: Duration,
    /// How many times its CPU time a call may take on the wall clock.
    pub wall_factor: u32,
    /// Bytes of one linear memory; of an instance in the pool, the pool's own limit at most.
    pub memory: usize,
    /// Bytes of one linear memory past which an instance is replaced by a new one, between two calls: for
    /// interpreters that never give memory back. What it has not put into the store is lost.
    pub renew: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Tables of one instance.
    pub tables: usize,
    /// Instances that there are at once on one VM: one a vCPU or one for all, one for the clock, and
    /// those that wait to be dropped.
    pub instances: usize,
    /// Commands of one call.
    pub commands: u32,
    /// Bytes that one command answers with.
    pub reply_bytes: usize,
    /// Log lines of one call.
    pub logs: u32,
    /// Bytes that all instances on one VM log in a second.
    pub log_bytes_per_second: u64,
    /// Alerts of one call.
    pub alerts: u32,
    /// Alerts that all instances on one VM raise in a second.
    pub alerts_per_second: u64,
    /// Keys in the store.
    pub store_keys: usize,
    /// Bytes of all keys and values in the store.
    pub store_bytes: usize,
    /// Bytes of saved state.
    pub saved: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            event: Duration::from_millis(10),
            init: Duration::from_millis(500),
            tick: Duration::from_millis(100),
            state: Duration::from_millis(100),
            wall_factor: 20,
            memory: 64 << 20,
            renew: NEVER,
            table_elements: 10_000,
            tables: 4,
            instances: 128,
            commands: 1024,
            reply_bytes: 256 << 10,
            logs: 64,
            log_bytes_per_second: 256 << 10,
            alerts: 16,
            alerts_per_second: 100,
            store_keys: crate::store::KEYS_MAX,
            store_bytes: crate::store::TOTAL_MAX,
            saved: 1 << 20,
        }
    }
}

impl Limits {
    /// These limits, or less where the manifest asks for less.
    #[must_use]
    pub fn within(mut self, manifest: &Manifest) -> Self {
        let tighten = |limit: &mut Duration, asked: Option<u64>| {
            *limit = asked.map_or(*limit, |ms| Duration::from_millis(ms).min(*limit));
        };
        let times = &manifest.deadlines;
        tighten(&mut self.event, times.event_ms);
        tighten(&mut self.init, times.init_ms);
        tighten(&mut self.tick, times.tick_ms);
        tighten(&mut self.state, times.state_ms);
        for (key, asked) in &manifest.limits {
            self.tighten(key, *asked);
        }
        self
    }

    /// The shortest time of them all, which says how often the watchdog looks.
    pub(crate) fn shortest(&self) -> Duration {
        self.event.min(self.init).min(self.tick).min(self.state)
    }

    /// How many refused commands of one call are a storm.
    pub(crate) fn storm(&self) -> u32 {
        self.commands.max(GRACE)
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
    pub(crate) state: Allowance,
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
            state: allow(limits.state),
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
