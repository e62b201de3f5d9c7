//! For people, on standard error: alerts, failures, what policies log, and how it ended.

use oriel_engine::{
    Record, Sink,
    record::{Action, Alert, Failed, Turnover, Visit},
};
use oriel_protocol::commands::service::Level;

use super::warn;

/// Tells people what they should know.
pub(crate) struct Words;

impl Sink for Words {
    fn put(&self, record: Record) {
        match record {
            Record::Alert(alert) => told(&alert),
            Record::Failure(failed) => failure(&failed),
            Record::Refusal(refused) => {
                let (judge, command, refusal) =
                    (refused.judge, refused.command.name(), refused.refusal);
                warn(format_args!(
                    "oriel: {judge} was refused {command}: {refusal}"
                ));
            }
            Record::Log(line) if line.level >= Level::Info => {
                warn(format_args!("{}: {}", line.judge, plain(&line.message)));
            }
            Record::Tool(visit) => tool(&visit),
            Record::Policy(turnover) => policy(&turnover),
            Record::Report { vcpu, value, .. } => {
                warn(format_args!("oriel: vCPU {vcpu} reports {value:#x}"))
            }
            Record::End(outcome) => warn(format_args!(
                "oriel: {} ({} events judged)",
                outcome.end, outcome.events
            )),
            Record::Start(_) | Record::Event(_) | Record::Log(_) => {}
        }
    }

    fn wants_events(&self) -> bool {
        false
    }
}

fn told(alert: &Alert) {
    let fields = alert
        .fields
        .iter()
        .map(|(name, value)| format!(" {}={}", plain(name), plain(value)));
    let fields: String = fields.collect();
    let severity = format!("{:?}", alert.severity).to_lowercase();
    let about = if alert.by_engine && alert.judge.is_some() {
        "about "
    } else {
        ""
    };
    warn(format_args!(
        "oriel: ALERT ({severity}) {about}{}: {}{fields}",
        alert.judge.as_deref().unwrap_or("Oriel itself"),
        plain(&alert.message)
    ));
}

fn failure(failed: &Failed) {
    let event = failed
        .kind
        .map(|kind| format!(" on a {} event", kind.name()))
        .unwrap_or_default();
    let then = if failed.quarantined {
        ", and it is in quarantine now"
    } else {
        ""
    };
    let verdict = failed.verdict.kind().name();
    let reason = plain(&failed.failure);
    warn(format_args!(
        "oriel: {} failed{event}; {verdict} answers for it{then}: {reason}",
        failed.judge
    ));
}

fn tool(visit: &Visit) {
    let what = if visit.hooked { "is hooked" } else { "is gone" };
    warn(format_args!(
        "oriel: tool {} {what}: {}",
        visit.judge,
        plain(&visit.detail)
    ));
}

fn policy(turnover: &Turnover) {
    let Turnover {
        judge, from, to, ..
    } = turnover;
    let what = match turnover.action {
        Action::Load => format!("loaded (revision {to})"),
        Action::Unload => format!("unloaded (revision {from})"),
        Action::Swap => format!("swapped: revision {to} in place of {from}"),
        Action::Rollback => format!("rolled back: revision {to} in place of {from}"),
        Action::Refused => format!("not changed, revision {from} goes on"),
    };
    let detail = plain(&turnover.detail);
    let why = if detail.is_empty() { "" } else { ": " };
    warn(format_args!("oriel: policy {judge} {what}{why}{detail}"));
}

/// What a policy says is one line, and moves no cursor.
pub(crate) fn plain(text: &str) -> String {
    let one = |letter: char| {
        if letter.is_control() {
            letter.escape_default().to_string()
        } else {
            letter.to_string()
        }
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_cannot_pretend_to_be_another_line() {
        assert_eq!(
            plain("a\noriel: ALERT\u{1b}[2J"),
            "a\\noriel: ALERT\\u{1b}[2J"
        );
    }
}
