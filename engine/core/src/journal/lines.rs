//! A journal's records in words and as JSON. Reads no file, and prints nothing.

use oriel_protocol::{CommandId, EventKind, Moment, Verdict};
use serde_json::{Map, Value as Json, json};

use super::entry::{Asked, Begun, Called, Entry, Missed, Outcome, Parameter, Said, Seen, said};
use crate::{lines, record::CLOCK};

/// Whether it is a call to answer an event.
pub const fn is_judged(called: &Called) -> bool {
    matches!(called.asked, Asked::Judge(_))
}

/// Whether it failed.
pub const fn has_failed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. })
}

/// An outcome in a few words.
pub fn outcome_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Continue => "continue".to_owned(),
        Outcome::Verdict(verdict) => verdict_words(verdict),
        Outcome::Done => "done".to_owned(),
        Outcome::Saved { data, .. } => format!("{} bytes saved", data.len()),
        Outcome::Failed {
            reason,
            answered: Some(verdict),
            ..
        } => format!("{} in its place: {reason}", verdict_words(verdict)),
        Outcome::Failed {
            reason,
            answered: None,
            ..
        } => format!("failed: {reason}"),
    }
}

fn verdict_words(verdict: &Verdict) -> String {
    let name = verdict.kind().name();
    match verdict {
        Verdict::Replace(oriel_protocol::Value::Word(word)) => format!("{name} {word:#x}"),
        Verdict::Inject(exception) => format!("{name} {}", exception.vector),
        Verdict::Replace(oriel_protocol::Value::Leaf(_)) | Verdict::Emulate(_) => name.to_owned(),
        Verdict::Continue | Verdict::Retry | Verdict::Crash => name.to_owned(),
        Verdict::Deny | Verdict::Skip | Verdict::Step => name.to_owned(),
    }
}

/// An outcome as JSON.
pub fn outcome(outcome: &Outcome) -> Json {
    match outcome {
        Outcome::Continue => Json::Object(lines::verdict(&Verdict::Continue)),
        Outcome::Verdict(verdict) => Json::Object(lines::verdict(verdict)),
        Outcome::Done => json!({ "done": true }),
        Outcome::Saved { schema, data } => json!({ "schema": schema, "bytes": data.len() }),
        Outcome::Failed {
            reason, answered, ..
        } => {
            let mut fields = answered.as_ref().map(lines::verdict).unwrap_or_default();
            fields.insert("failure".to_owned(), json!(reason));
            Json::Object(fields)
        }
    }
}

/// The commands of an entry, each with its answer, a line each.
pub fn commands(entry: &Entry) -> Vec<String> {
    said(bytes(entry)).iter().map(command).collect()
}

fn bytes(entry: &Entry) -> &[u8] {
    match entry {
        Entry::Begun(begun) => &begun.said,
        Entry::Called(called) => &called.said,
        Entry::Header(_) | Entry::Missed(_) | Entry::Gone { .. } => &[],
        Entry::Lost { .. } | Entry::End { .. } => &[],
    }
}

/// The longest line of a command, in bytes.
const LINE: usize = 200;

fn command(said: &Said) -> String {
    let mut line = match said {
        Said::Vm(call, answer) => format!("{call:?} -> {answer:?}"),
        Said::Vcpu(vcpu, call, answer) => format!("on vCPU {vcpu}: {call:?} -> {answer:?}"),
        Said::Service(call, answer) => format!("{call:?} -> {answer:?}"),
    };
    if line.len() > LINE {
        line.truncate(line.floor_char_boundary(LINE));
        line.push('…');
    }
    line
}

/// An entry in a line.
pub fn words(entry: &Entry) -> String {
    match entry {
        Entry::Header(header) => format!("journal of {}", header.name),
        Entry::Begun(begun) => begun_words(begun),
        Entry::Called(called) => format!(
            "{} instance {} {}: {}",
            when(called.at.into()),
            called.instance,
            asked_words(&called.asked),
            outcome_words(&called.outcome)
        ),
        Entry::Missed(missed) => format!(
            "{} {} on {} missed {}: {}, {}",
            when(missed.at.into()),
            missed.policy,
            missed.seat,
            missed.seen.event.kind().name(),
            verdict_words(&missed.answered),
            missed.reason
        ),
        Entry::Gone { instance } => format!("instance {instance} is no more"),
        Entry::Lost { ring, count } => format!("{count} calls of vCPU {ring} are missing here"),
        Entry::End { detail, lost } => format!("the end: {detail}; {lost} calls lost"),
    }
}

fn begun_words(begun: &Begun) -> String {
    let Begun {
        instance,
        policy,
        revision,
        seat,
        ..
    } = begun;
    let at = when(begun.at.into());
    let outcome = outcome_words(&begun.outcome);
    let trial = if begun.on_trial { ", on trial" } else { "" };
    format!(
        "{at} instance {instance} of {policy}, revision {revision}, for {seat}{trial}: {outcome}"
    )
}

fn when(at: Moment) -> String {
    let vcpu = if at.vcpu == CLOCK {
        "clock".to_owned()
    } else {
        format!("vCPU {}", at.vcpu)
    };
    let (seconds, rest) = (at.time_ns / 1_000_000_000, at.time_ns % 1_000_000_000);
    format!("{seconds}.{rest:09} {vcpu} seq {}", at.seq)
}

fn asked_words(asked: &Asked) -> String {
    match asked {
        Asked::Judge(seen) => event_words("judges", seen),
        Asked::Observe(seen) => event_words("sees", seen),
        Asked::Notice(kind) => format!("is told of {}", kind.name()),
        Asked::Tick { missed: 0 } => "ticks".to_owned(),
        Asked::Tick { missed } => format!("ticks, {missed} missed"),
        Asked::Save => "saves".to_owned(),
        Asked::Restore { data, revision, .. } => {
            format!("restores {} bytes of revision {revision}", data.len())
        }
    }
}

fn event_words(does: &str, seen: &Seen) -> String {
    let fields = seen.event.data.fields().into_iter();
    let fields = fields.map(|(name, field)| format!("{name}={}", plain(&json!(field))));
    let fields: Vec<_> = fields.collect();
    let kind = seen.event.kind().name();
    format!("{does} {kind} {}", fields.join(" "))
}

fn plain(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// An entry as JSON, with its commands if they are wanted.
pub fn json(entry: &Entry, with_commands: bool) -> Json {
    let mut fields = Map::new();
    let named = match entry {
        Entry::Header(header) => json!({ "type": "header", "vm": header.name }),
        Entry::Begun(begun) => begun_json(begun),
        Entry::Called(called) => called_json(called),
        Entry::Missed(missed) => missed_json(missed),
        Entry::Gone { instance } => json!({ "type": "gone", "instance": instance }),
        Entry::Lost { ring, count } => json!({ "type": "lost", "ring": ring, "count": count }),
        Entry::End { detail, lost } => json!({ "type": "end", "detail": detail, "lost": lost }),
    };
    if let Json::Object(named) = named {
        fields.extend(named);
    }
    if with_commands && !bytes(entry).is_empty() {
        let commands = said(bytes(entry));
        let commands: Vec<_> = commands.iter().map(command_json).collect();
        fields.insert("commands".to_owned(), json!(commands));
    }
    Json::Object(fields)
}

fn command_json(said: &Said) -> Json {
    let name = match said.id() {
        CommandId::Vm(id) => id.name(),
        CommandId::Vcpu(id) => id.name(),
        CommandId::Service(id) => id.name(),
    };
    json!({ "command": name, "refusal": said.refusal(), "detail": command(said) })
}

fn stamped(kind: &str, at: Moment) -> Map<String, Json> {
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!(kind));
    fields.extend(lines::stamp(at));
    fields
}

fn begun_json(begun: &Begun) -> Json {
    let mut fields = stamped("begun", begun.at.into());
    let digest: String = begun
        .digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let settings = begun.settings.iter();
    let settings = settings.map(|(key, value)| (key.clone(), parameter(value)));
    for (key, value) in [
        ("instance", json!(begun.instance)),
        ("policy", json!(begun.policy)),
        ("revision", json!(begun.revision)),
        ("digest", json!(digest)),
        ("place", json!(begun.seat.to_string())),
        ("on_trial", json!(begun.on_trial)),
        ("settings", Json::Object(settings.collect())),
        ("outcome", outcome(&begun.outcome)),
    ] {
        fields.insert(key.to_owned(), value);
    }
    Json::Object(fields)
}

fn parameter(value: &Parameter) -> Json {
    match value {
        Parameter::Flag(flag) => json!(flag),
        Parameter::Number(number) => json!(format!("{number:#x}")),
        Parameter::Text(text) => json!(text),
        Parameter::Numbers(numbers) => {
            let numbers = numbers.iter().map(|number| format!("{number:#x}"));
            json!(numbers.collect::<Vec<_>>())
        }
        Parameter::Texts(texts) => json!(texts),
    }
}

fn called_json(called: &Called) -> Json {
    let mut fields = stamped("called", called.at.into());
    fields.insert("instance".to_owned(), json!(called.instance));
    let (what, seen): (&str, Option<&Seen>) = match &called.asked {
        Asked::Judge(seen) => ("judge", Some(seen)),
        Asked::Observe(seen) => ("observe", Some(seen)),
        Asked::Notice(kind) => (kind.name(), None),
        Asked::Tick { .. } => ("tick", None),
        Asked::Save => ("save", None),
        Asked::Restore { .. } => ("restore", None),
    };
    fields.insert("call".to_owned(), json!(what));
    if let Some(seen) = seen {
        fields.extend(seen_json(seen));
    }
    fields.insert("outcome".to_owned(), outcome(&called.outcome));
    Json::Object(fields)
}

fn missed_json(missed: &Missed) -> Json {
    let mut fields = stamped("missed", missed.at.into());
    fields.insert("policy".to_owned(), json!(missed.policy));
    fields.insert("place".to_owned(), json!(missed.seat.to_string()));
    fields.extend(seen_json(&missed.seen));
    fields.insert("reason".to_owned(), json!(missed.reason));
    fields.extend(lines::verdict(&missed.answered));
    Json::Object(fields)
}

fn seen_json(seen: &Seen) -> Map<String, Json> {
    let kind: EventKind = seen.event.kind();
    let event = &seen.event;
    let mut fields = Map::new();
    for (key, value) in [
        ("kind", json!(kind)),
        ("data", lines::data(&event.data)),
        ("ip", json!(format!("{:#x}", event.ip))),
        ("cr3", json!(format!("{:#x}", event.cr3))),
        ("cpl", json!(event.cpl)),
        ("decided", json!(seen.decided)),
    ] {
        fields.insert(key.to_owned(), value);
    }
    fields
}
