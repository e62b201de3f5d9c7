//! The policy on the bench: a small kernel, what it does to itself, and what others do to it.

mod alarms;
mod booting;
mod configuration;
mod entries;
mod forge;
mod forms;
mod lies;
mod probing;
mod trapped;

use oriel_sdk::testing::{Bench, RaisedAlert};
use oriel_sdk::{Config, Failure, Level};

use crate::KernelGuard;
use forge::Forged;

/// Calls by the clock after which the baseline of the small kernel is complete.
const SETTLED: usize = 8;

/// The policy over the small kernel.
struct Scene {
    bench: Bench<KernelGuard>,
    forged: Forged,
}

impl Scene {
    fn new(config: Config) -> Result<Self, Failure> {
        Self::of(config, Forged::default())
    }

    fn of(config: Config, forged: Forged) -> Result<Self, Failure> {
        let mut bench = Bench::new(config)?;
        forged.put(&mut bench.engine)?;
        Ok(Self { bench, forged })
    }

    /// With a baseline that is complete, and nothing told.
    fn settled() -> Result<Self, Failure> {
        let mut scene = Self::new(Config::new())?;
        scene.tick(SETTLED)?;
        assert_eq!(scene.alerts(), []);
        Ok(scene)
    }

    fn tick(&mut self, times: usize) -> Result<(), Failure> {
        (0..times).try_for_each(|_| {
            self.bench.engine.time_ns += 1_000_000_000;
            self.bench.tick(0)
        })
    }

    /// Somebody writes into the kernel's memory; the clock does not call.
    fn write(&mut self, gva: u64, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.bench.engine.memory.poke(forge::gpa(gva), bytes)?)
    }

    /// What was told since this was last asked.
    fn alerts(&mut self) -> Vec<RaisedAlert> {
        std::mem::take(&mut self.bench.engine.alerts)
    }

    /// The one thing that was told since this was last asked.
    #[track_caller]
    fn alert(&mut self) -> RaisedAlert {
        let alerts = self.alerts();
        let [alert] = alerts.as_slice() else {
            panic!("not one alert but {alerts:#?}");
        };
        alert.clone()
    }

    fn has_logged(&self, words: &str) -> bool {
        let mut lines = self.bench.engine.log.iter();
        lines.any(|(level, line)| *level >= Level::Info && line.contains(words))
    }
}
