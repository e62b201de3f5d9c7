//! For people, on standard error: alerts, failures, what policies log, and how it ended.

use oriel_engine::{Record, Sink};
use oriel_protocol::commands::service::Level;

/// Tells people what they should know.
pub(crate) struct Words;

impl Sink for Words {
    fn put(&self, record: Record) {
        match record {
            Record::Alert(alert) => {
                let fields: Vec<_> = alert
                    .fields
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                let severity = format!("{:?}", alert.severity).to_lowercase();
                eprintln!(
                    "oriel: ALERT ({severity}) {}: {} {}",
                    alert.judge,
                    alert.message,
                    fields.join(" ")
                );
            }
            Record::Failure(failed) => eprintln!(
                "oriel: policy {} failed{}; {} answers for it{}: {}",
                failed.judge,
                failed
                    .kind
                    .map(|kind| format!(" on a {} event", kind.name()))
                    .unwrap_or_default(),
                failed.verdict.kind().name(),
                if failed.quarantined {
                    ", and it is in quarantine now"
                } else {
                    ""
                },
                failed.failure,
            ),
            Record::Refusal(refused) => eprintln!(
                "oriel: policy {} was refused {}: {}",
                refused.judge,
                refused.command.name(),
                refused.refusal
            ),
            Record::Log(line) if line.level >= Level::Info => {
                eprintln!("{}: {}", line.judge, line.message)
            }
            Record::Report { vcpu, value, .. } => {
                eprintln!("oriel: vCPU {vcpu} reports {value:#x}")
            }
            Record::End(outcome) => {
                eprintln!("oriel: {} ({} events judged)", outcome.end, outcome.events)
            }
            Record::Start(_) | Record::Event(_) | Record::Log(_) => {}
        }
    }

    fn wants_events(&self) -> bool {
        false
    }
}
