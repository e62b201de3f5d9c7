//! What policies count and measure. Read by whoever shows dashboards; bounded in names.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use oriel_protocol::{Refusal, commands::service::Sample};
use serde::Serialize;

/// The most names that one VM's policies can use together.
pub const NAMES_MAX: usize = 1024;

/// The metrics of one VM, by judge and name.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<BTreeMap<(usize, String), Metric>>);

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// A counter.
    Count(u64),
    /// A gauge.
    Gauge(i64),
    /// A histogram, as far as it is kept: how many values, their sum and the largest.
    Values {
        /// How many.
        count: u64,
        /// Their sum, saturating.
        sum: u64,
        /// The largest.
        max: u64,
    },
}

impl Metrics {
    /// Adds a sample.
    ///
    /// # Errors
    /// [`Refusal::Limit`] over [`NAMES_MAX`] names, [`Refusal::Invalid`] if the name is of
    /// another type.
    pub fn record(&self, judge: usize, name: String, sample: Sample) -> Result<(), Refusal> {
        let mut metrics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if metrics.len() >= NAMES_MAX && !metrics.contains_key(&(judge, name.clone())) {
            return Err(Refusal::Limit);
        }
        let metric = metrics
            .entry((judge, name))
            .or_insert_with(|| Metric::empty(sample));
        metric.add(sample)
    }

    /// All of them, by judge and name.
    pub fn snapshot(&self) -> BTreeMap<(usize, String), Metric> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Metric {
    const fn empty(sample: Sample) -> Self {
        match sample {
            Sample::Count(_) => Self::Count(0),
            Sample::Gauge(_) => Self::Gauge(0),
            Sample::Value(_) => Self::Values {
                count: 0,
                sum: 0,
                max: 0,
            },
        }
    }

    fn add(&mut self, sample: Sample) -> Result<(), Refusal> {
        match (self, sample) {
            (Self::Count(total), Sample::Count(delta)) => *total = total.saturating_add(delta),
            (Self::Gauge(now), Sample::Gauge(value)) => *now = value,
            (Self::Values { count, sum, max }, Sample::Value(value)) => {
                *count += 1;
                *sum = sum.saturating_add(value);
                *max = (*max).max(value);
            }
            (Self::Count(_) | Self::Gauge(_) | Self::Values { .. }, _) => {
                return Err(Refusal::Invalid);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_type() {
        let metrics = Metrics::default();
        assert_eq!(metrics.record(0, "denied".into(), Sample::Count(2)), Ok(()));
        assert_eq!(metrics.record(0, "denied".into(), Sample::Count(3)), Ok(()));
        assert_eq!(
            metrics.record(0, "denied".into(), Sample::Gauge(1)),
            Err(Refusal::Invalid)
        );
        assert_eq!(metrics.snapshot()[&(0, "denied".into())], Metric::Count(5));
    }

    #[test]
    fn names_are_bounded() {
        let metrics = Metrics::default();
        for number in 0..NAMES_MAX {
            assert_eq!(
                metrics.record(0, number.to_string(), Sample::Count(1)),
                Ok(())
            );
        }
        assert_eq!(
            metrics.record(0, "one more".into(), Sample::Count(1)),
            Err(Refusal::Limit)
        );
        assert_eq!(
            metrics.record(0, "0".into(), Sample::Count(1)),
            Ok(()),
            "a known one still works"
        );
    }
}
