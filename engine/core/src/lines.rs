//! Records as JSON lines. The format is fixed in `docs/events.md`.

use std::time::SystemTime;

use oriel_machine::End;
use oriel_protocol::{Event, EventData, Identity, Moment, Verdict};
use serde_json::{Map, Value as Json, json};

use crate::{
    effect::effect,
    policy_judge::FailureReport,
    record::{Alert, CLOCK, Failed, Judged, LogLine, Record, Refused, Turnover, Visit},
};

/// The version of the format, in every line.
pub const VERSION: u32 = 1;

/// A record as one line of JSON, without its line feed.
pub fn line(identity: &Identity, record: &Record) -> String {
    let (kind, fields) = match record {
        Record::Start(start) => (
            "start",
            json!({
                "uuid": start.identity.uuid, "arch": start.identity.arch,
                "vcpus": start.vcpus, "judges": start.judges.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
            }),
        ),
        Record::Event(judged) => ("event", event(judged)),
        Record::Alert(told) => ("alert", alert(told)),
        Record::Refusal(refused) => ("refusal", refusal(refused)),
        Record::Failure(failed) => ("failure", failure(failed)),
        Record::Log(written) => ("log", log(written)),
        Record::Tool(visit) => ("tool", tool(visit)),
        Record::Policy(turnover) => ("policy", policy(turnover)),
        Record::Report {
            vcpu,
            time_ns,
            value,
        } => (
            "report",
            json!({ "vcpu": vcpu, "time_ns": time_ns, "value": hex(*value) }),
        ),
        Record::End(outcome) => (
            "end",
            json!({
                "end": end_name(&outcome.end), "detail": outcome.end.to_string(), "events": outcome.events,
                "unjudged": outcome.unjudged,
                "time_ns": u64::try_from(outcome.ran.as_nanos()).unwrap_or(u64::MAX),
            }),
        ),
    };
    let mut line = Map::new();
    line.insert("v".to_owned(), json!(VERSION));
    line.insert("type".to_owned(), json!(kind));
    line.insert("vm".to_owned(), json!(identity.name));
    if let Json::Object(fields) = fields {
        line.extend(fields);
    }
    Json::Object(line).to_string()
}

fn event(judged: &Judged) -> Json {
    let judges = judged.judges.iter().map(|opinion| {
        let mut entry = verdict(&opinion.verdict);
        entry.insert("name".to_owned(), json!(&*opinion.judge));
        if opinion.revision != 0 {
            entry.insert("revision".to_owned(), json!(opinion.revision));
        }
        entry.insert("ns".to_owned(), json!(opinion.ns));
        entry
    });
    let judges: Vec<_> = judges.collect();
    let mut fields = stamp(judged.moment);
    fields.extend(happened(&judged.event));
    fields.insert("judges".to_owned(), json!(judges));
    fields.extend(verdict(&judged.verdict));
    fields.insert(
        "effect".to_owned(),
        json!(effect(&judged.event, &judged.verdict)),
    );
    if !judged.conflicts.is_empty() {
        let conflicts = judged.conflicts.iter();
        let conflicts =
            conflicts.map(|one| json!({ "standing": &*one.standing, "lost": &*one.lost }));
        fields.insert("conflicts".to_owned(), conflicts.collect());
    }
    Json::Object(fields)
}

/// What has happened, and where.
fn happened(event: &Event) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), json!(event.kind().name()));
    fields.insert("ip".to_owned(), hex(event.ip));
    fields.insert("cr3".to_owned(), hex(event.cr3));
    fields.insert("cpl".to_owned(), json!(event.cpl));
    fields.insert("data".to_owned(), data(&event.data));
    fields
}

/// A report of a failure, in the words of event lines.
pub fn report(report: &FailureReport) -> Json {
    let since = report.time.duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    let mut fields = stamp(report.moment);
    fields.insert("unix_ms".to_owned(), json!(ms));
    fields.insert("revision".to_owned(), json!(report.revision));
    fields.insert("digest".to_owned(), json!(report.digest));
    fields.insert("failure".to_owned(), json!(report.reason));
    fields.insert("trace".to_owned(), json!(report.trace));
    fields.insert("strike".to_owned(), json!(report.is_strike));
    fields.insert("answered".to_owned(), json!(report.answered));
    fields.insert("kind".to_owned(), json!(report.kind));
    let event = report.event.as_ref().map(happened);
    fields.insert("event".to_owned(), json!(event));
    Json::Object(fields)
}

pub(crate) fn data(data: &EventData) -> Json {
    Json::Object(
        data.fields()
            .into_iter()
            .map(|(name, field)| (name.to_owned(), json!(field)))
            .collect(),
    )
}

fn alert(alert: &Alert) -> Json {
    let mut fields = stamp(alert.moment);
    fields.insert("judge".to_owned(), json!(alert.judge.as_deref()));
    let by = if alert.by_engine { "engine" } else { "judge" };
    fields.insert("by".to_owned(), json!(by));
    fields.insert("severity".to_owned(), json!(alert.severity));
    fields.insert("message".to_owned(), json!(alert.message));
    let pairs = alert
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    fields.insert("fields".to_owned(), Json::Object(pairs.collect()));
    Json::Object(fields)
}

fn refusal(refused: &Refused) -> Json {
    let mut fields = stamp(refused.moment);
    fields.insert("judge".to_owned(), json!(&*refused.judge));
    fields.insert("command".to_owned(), json!(refused.command));
    fields.insert("refusal".to_owned(), json!(refused.refusal));
    if let Some(with) = &refused.with {
        fields.insert("with".to_owned(), json!(&**with));
    }
    Json::Object(fields)
}

fn failure(failed: &Failed) -> Json {
    let mut fields = stamp(failed.moment);
    fields.insert("judge".to_owned(), json!(&*failed.judge));
    fields.insert("kind".to_owned(), json!(failed.kind));
    fields.insert("failure".to_owned(), json!(failed.failure));
    fields.insert("quarantined".to_owned(), json!(failed.quarantined));
    fields.extend(verdict(&failed.verdict));
    Json::Object(fields)
}

fn log(line: &LogLine) -> Json {
    let mut fields = stamp(line.moment);
    fields.insert("judge".to_owned(), json!(&*line.judge));
    fields.insert("level".to_owned(), json!(line.level));
    fields.insert("message".to_owned(), json!(line.message));
    Json::Object(fields)
}

fn tool(visit: &Visit) -> Json {
    let state = if visit.hooked { "hooked" } else { "gone" };
    json!({
        "time_ns": visit.time_ns, "judge": &*visit.judge, "state": state, "detail": visit.detail,
    })
}

fn policy(turnover: &Turnover) -> Json {
    json!({
        "time_ns": turnover.time_ns, "judge": &*turnover.judge, "action": turnover.action.name(),
        "from": turnover.from, "to": turnover.to, "detail": turnover.detail,
    })
}

pub(crate) fn stamp(moment: Moment) -> Map<String, Json> {
    let mut fields = Map::new();
    let vcpu = (moment.vcpu != CLOCK).then_some(moment.vcpu);
    fields.insert("vcpu".to_owned(), json!(vcpu));
    fields.insert("seq".to_owned(), json!(moment.seq));
    fields.insert("time_ns".to_owned(), json!(moment.time_ns));
    fields
}

/// A verdict's name, and its data where it has some.
pub(crate) fn verdict(verdict: &Verdict) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("verdict".to_owned(), json!(verdict.kind().name()));
    match verdict {
        Verdict::Replace(oriel_protocol::Value::Word(word)) => fields.insert("value".to_owned(), hex(*word)),
        Verdict::Replace(oriel_protocol::Value::Leaf(leaf)) => fields.insert("value".to_owned(), json!(leaf)),
        Verdict::Inject(exception) => fields.insert("exception".to_owned(), json!({
            "vector": exception.vector, "error_code": exception.error_code, "address": hex(exception.address),
        })),
        Verdict::Emulate(bytes) => fields.insert("bytes".to_owned(), json!(bytes.len())),
        Verdict::Continue | Verdict::Retry | Verdict::Crash | Verdict::Deny | Verdict::Skip | Verdict::Step => None,
    };
    fields
}

fn hex(word: u64) -> Json {
    Json::String(format!("{word:#x}"))
}

/// The word for how a VM ended.
pub const fn end_name(end: &End) -> &'static str {
    match end {
        End::Finished(_) => "finished",
        End::Shutdown(_) => "shutdown",
        End::Crashed(_) => "crashed",
        End::Stopped => "stopped",
        End::Cancelled => "cancelled",
        End::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use oriel_protocol::{Arch, Value, events::Msr};

    use super::*;
    use crate::record::{Dispute, Opinion};

    fn identity() -> Identity {
        Identity {
            uuid: uuid::Uuid::nil(),
            name: "test".to_owned(),
            arch: Arch::X86_64,
        }
    }

    #[test]
    fn an_event_line_has_what_the_format_names() {
        let verdict = Verdict::Replace(Value::Word(u64::MAX));
        let judged = Judged {
            moment: Moment {
                vcpu: 1,
                seq: 7,
                time_ns: 99,
            },
            event: crate::test_event(Msr {
                msr: 0xc000_0082,
                old: 1,
                new: u64::MAX - 1,
            }),
            judges: vec![Opinion {
                judge: Arc::from("guard"),
                revision: 2,
                verdict: verdict.clone(),
                ns: 310,
            }],
            verdict,
            conflicts: vec![Dispute {
                standing: Arc::from("guard"),
                lost: Arc::from("second"),
            }],
        };
        let line: Json =
            serde_json::from_str(&line(&identity(), &Record::Event(Box::new(judged)))).unwrap();
        assert_eq!(
            (&line["v"], &line["type"], &line["vm"]),
            (&json!(1), &json!("event"), &json!("test"))
        );
        assert_eq!(
            (&line["vcpu"], &line["seq"], &line["time_ns"]),
            (&json!(1), &json!(7), &json!(99))
        );
        assert_eq!(
            line["data"],
            json!({ "msr": 0xc000_0082u32, "old": "0x1", "new": "0xfffffffffffffffe" })
        );
        assert_eq!(line["judges"][0]["name"], "guard");
        assert_eq!(line["judges"][0]["ns"], 310);
        assert_eq!(line["judges"][0]["revision"], 2);
        assert_eq!(
            (&line["verdict"], &line["value"]),
            (&json!("replace"), &json!("0xffffffffffffffff"))
        );
        assert_eq!(line["effect"], "0xffffffffffffffff instead");
        assert_eq!(
            line["conflicts"],
            json!([{ "standing": "guard", "lost": "second" }])
        );
    }
}
