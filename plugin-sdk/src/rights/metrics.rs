//! Counting and measuring for the operator's dashboards.

use crate::Engine;
use crate::bindings::rights::oriel::introspection::metrics as wit;

/// The right to publish metrics. The engine names them after the policy.
///
/// ```
/// use oriel_sdk::{Metrics, testing::MockEngine};
///
/// let mut host = MockEngine::default();
/// host.count("writes", 2);
/// host.gauge("pinned", -1);
/// host.record("length", 4096);
/// assert_eq!((host.counters["writes"], host.gauges["pinned"]), (2, -1));
/// ```
pub trait Metrics {
    /// Adds to a counter.
    fn count(&mut self, name: &str, delta: u64);
    /// Sets a gauge.
    fn gauge(&mut self, name: &str, value: i64);
    /// Puts a value into a histogram.
    fn record(&mut self, name: &str, value: u64);
}

impl Metrics for Engine {
    fn count(&mut self, name: &str, delta: u64) {
        wit::add(name, delta);
    }

    fn gauge(&mut self, name: &str, value: i64) {
        wit::set(name, value);
    }

    fn record(&mut self, name: &str, value: u64) {
        wit::record(name, value);
    }
}
