//! The policy on the bench: what a kernel holds of an exec, and what becomes of it.

mod configuration;
mod forged;
mod hostile;
mod kernels;
mod points;
mod reading;
mod refusing;
mod rights;
mod rules;

use oriel_sdk::breakpoint::Verdict;
use oriel_sdk::testing::RaisedAlert;
use oriel_sdk::{Config, Failure, Level};

use forged::{Asked, Forged};

/// Tells of everything.
fn all() -> Config {
    Config::new().with("report-all", true)
}

/// Denies what begins so.
fn denying(path: &str) -> Config {
    all()
        .with("mode", "deny")
        .with("forbid", vec![path.to_owned()])
}

/// The last line that the policy has logged of an exec.
fn line(guest: &Forged) -> &str {
    let lines = guest.bench.engine.log.iter().rev();
    let mut lines = lines.filter(|(level, _)| *level == Level::Info);
    let line = lines.find_map(|(_, line)| line.strip_prefix("exec "));
    line.unwrap_or("nothing was told")
}

/// The last alert.
#[track_caller]
fn alert(guest: &Forged) -> &RaisedAlert {
    guest.bench.engine.alerts.last().expect("an alert")
}
