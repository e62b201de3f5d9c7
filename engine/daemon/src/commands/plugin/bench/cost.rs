//! What an event costs, in numbers. Measures nothing.

use std::collections::BTreeMap;

use oriel_policy::Spent;
use serde::Serialize;

use super::Times;
use crate::output::say;

/// What an event costs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// How many events were judged.
    events: u64,
    /// Wall time of a judgement.
    ns: Quantiles,
    /// Wasm instructions of an event, as fuel counts them; the mean.
    instructions: f64,
    /// What it asked the host for in an event; the mean.
    host_calls: f64,
    /// The most memory that an instance has had, in bytes.
    memory_bytes: usize,
    /// The median of each kind of event, in nanoseconds.
    kinds: BTreeMap<&'static str, u64>,
    /// Oriel itself was compiled without optimisation: times are longer than an operator's.
    debug: bool,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    min: u64,
    median: u64,
    p99: u64,
}

impl Cost {
    /// Out of what both runs have shown.
    pub(super) fn of(times: &Times, spent: Spent) -> anyhow::Result<Self> {
        let mut all: Vec<u64> = times.values().flatten().copied().collect();
        all.sort_unstable();
        let kinds = times.iter().map(|(kind, times)| {
            let mut times = times.clone();
            times.sort_unstable();
            (*kind, quantile(&times, 50))
        });
        Ok(Self {
            events: u64::try_from(all.len())?,
            ns: Quantiles {
                min: quantile(&all, 0),
                median: quantile(&all, 50),
                p99: quantile(&all, 99),
            },
            instructions: mean(spent.instructions, spent.events),
            host_calls: mean(spent.host_calls, spent.events),
            memory_bytes: spent.memory,
            kinds: kinds.collect(),
            debug: cfg!(debug_assertions),
        })
    }

    /// For people.
    pub(super) fn print(&self) {
        let Quantiles { min, median, p99 } = self.ns;
        say(format_args!("events        {}", self.events));
        say(format_args!(
            "time          {median} ns an event (min {min}, p99 {p99})"
        ));
        for (kind, median) in &self.kinds {
            say(format_args!("  {kind:<12}{median} ns"));
        }
        say(format_args!("instructions  {} an event", self.instructions));
        say(format_args!("host calls    {} an event", self.host_calls));
        say(format_args!(
            "memory        {} KiB an instance",
            self.memory_bytes.div_ceil(1024)
        ));
        if self.debug {
            say(format_args!(
                "this oriel was compiled for debugging: its part of the time is larger than an operator's"
            ));
        }
    }
}

/// Of a sorted list.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

/// With one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "a mean for people")]
fn mean(sum: u64, count: u64) -> f64 {
    (sum as f64 / count.max(1) as f64 * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_of_the_events_and_a_quantile_of_all_times() -> anyhow::Result<()> {
        let times = Times::from([("msr", (1..=100).rev().collect()), ("cpuid", vec![500])]);
        let spent = Spent {
            events: 4,
            instructions: 10,
            host_calls: 6,
            memory: 65_536,
        };
        let cost = Cost::of(&times, spent)?;
        assert_eq!(
            (cost.events, cost.instructions, cost.host_calls),
            (101, 2.5, 1.5)
        );
        let Quantiles { min, median, p99 } = cost.ns;
        assert_eq!((min, median, p99), (1, 51, 100));
        assert_eq!(cost.kinds["msr"], 50);
        Ok(())
    }
}
