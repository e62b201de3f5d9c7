//! What a policy tells: alerts, lines of its log, metrics; and whom it tells it of.

use std::fmt::Display;

use super::{Command, MockEngine, RaisedAlert};
use crate::{Alert, Capability, Level, Log, Machine, MachineInfo, Metrics, Refusal, Severity};

/// The most fields of an alert.
const FIELDS: usize = 32;

impl Alert for MockEngine {
    fn alert(
        &mut self,
        severity: Severity,
        message: &str,
        fields: &[(&str, &dyn Display)],
    ) -> Result<(), Refusal> {
        self.admit(Command::Alert)?;
        if fields.len() > FIELDS {
            return Err(Refusal::Limit);
        }
        let text = |(name, value): &(&str, &dyn Display)| (String::from(*name), value.to_string());
        self.alerts.push(RaisedAlert {
            severity,
            message: message.to_owned(),
            fields: fields.iter().map(text).collect(),
        });
        Ok(())
    }
}

impl Log for MockEngine {
    fn log(&mut self, level: Level, message: &str) {
        if self.admit(Command::Log).is_ok() {
            self.log.push((level, message.to_owned()));
        }
    }
}

impl Metrics for MockEngine {
    fn count(&mut self, name: &str, delta: u64) {
        if self.admit(Command::Count).is_ok() {
            let counter = self.counters.entry(name.to_owned()).or_default();
            *counter = counter.wrapping_add(delta);
        }
    }

    fn gauge(&mut self, name: &str, value: i64) {
        if self.admit(Command::Gauge).is_ok() {
            self.gauges.insert(name.to_owned(), value);
        }
    }

    fn record(&mut self, name: &str, value: u64) {
        if self.admit(Command::Record).is_ok() {
            self.records.entry(name.to_owned()).or_default().push(value);
        }
    }
}

impl Machine for MockEngine {
    fn machine_info(&mut self) -> Result<MachineInfo, Refusal> {
        self.admit(Command::MachineInfo)?;
        Ok(self.guest().identity())
    }

    fn capabilities(&mut self) -> Result<Vec<Capability>, Refusal> {
        self.admit(Command::Capabilities)?;
        Ok(self.guest().abilities())
    }
}
