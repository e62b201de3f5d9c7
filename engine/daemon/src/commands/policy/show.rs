//! Answers of the control socket for people: lines and tables. What a policy or a file has put into
//! them moves no cursor.

use serde_json::Value as Json;

use crate::output::table::{rows, strings, table, text};

/// Digits of a digest that people compare.
const DIGEST_SHOWN: usize = 12;

pub(super) fn list(answer: &Json) -> Vec<String> {
    let rows = rows(&answer["policies"], |one| {
        vec![
            text(&one["name"]),
            text(&one["revision"]),
            text(&one["version"]),
            digest(one),
            state(one).to_owned(),
            text(&one["said"]["file"]),
        ]
    });
    if rows.is_empty() {
        return vec!["no policies".to_owned()];
    }
    table(&["NAME", "REV", "VERSION", "DIGEST", "STATE", "FROM"], rows)
}

fn state(one: &Json) -> &'static str {
    if one["quarantined"] == true {
        "quarantined"
    } else if one["detached"] == true {
        "detached"
    } else {
        "judges"
    }
}

pub(super) fn history(answer: &Json) -> Vec<String> {
    let rows = rows(&answer["revisions"], |one| {
        vec![
            text(&one["revision"]),
            text(&one["standing"]),
            text(&one["version"]),
            digest(one),
            since(one),
            text(&one["saved_bytes"]),
            text(&one["detail"]),
        ]
    });
    let heads = [
        "REV", "STANDING", "VERSION", "DIGEST", "SINCE", "SAVED", "WHY",
    ];
    table(&heads, rows)
}

pub(super) fn failures(answer: &Json) -> Vec<String> {
    let rows = rows(&answer["failures"], |one| {
        let trace = strings(&one["trace"]).join(" < ");
        vec![
            text(&one["revision"]),
            text(&one["vcpu"]),
            text(&one["seq"]),
            text(&one["kind"]),
            text(&one["answered"]),
            text(&one["failure"]),
            trace,
        ]
    });
    if rows.is_empty() {
        return vec!["no failures".to_owned()];
    }
    let heads = ["REV", "VCPU", "EVENT", "KIND", "ANSWERED", "HOW", "IN"];
    table(&heads, rows)
}

pub(super) fn explained(answer: &Json) -> Vec<String> {
    let row = |one: &Json| {
        let missing = strings(&one["missing"]);
        let says = match one["effective"] == true {
            true => "yes".to_owned(),
            false => "no".to_owned(),
        };
        vec![text(&one["name"]), says, missing.join(", ")]
    };
    let rights = table(
        &["RIGHT", "HAS IT", "WHO SAYS NO"],
        rows(&answer["rights"], row),
    );
    let events = table(
        &["EVENT", "HEARS IT", "WHO SAYS NO"],
        rows(&answer["events"], row),
    );
    let gap = [String::new()];
    let within = answer["within"].as_object().into_iter().flatten();
    let within = within.filter(|(_, ranges)| !ranges.is_null());
    let within = within.map(|(key, ranges)| format!("within {key} {ranges}"));
    let all = rights.into_iter().chain(gap).chain(events);
    all.chain(within).collect()
}

pub(super) fn loaded(answer: &Json) -> Vec<String> {
    let (name, revision) = (text(&answer["name"]), text(&answer["revision"]));
    vec![format!(
        "{name} judges, revision {revision} ({})",
        digest(answer)
    )]
}

pub(super) fn unloaded(answer: &Json) -> Vec<String> {
    vec![format!("{} is gone", text(&answer["name"]))]
}

pub(super) fn released(answer: &Json) -> Vec<String> {
    vec![format!("{} is asked again", text(&answer["name"]))]
}

pub(super) fn swapped(answer: &Json) -> Vec<String> {
    let stall = answer["stall_ns"].as_f64().unwrap_or(0.0) / 1000.0;
    let mut lines = vec![format!(
        "{}: revision {} judges in place of {}; the longest a vCPU was kept: {stall:.1} µs",
        text(&answer["name"]),
        text(&answer["to"]),
        text(&answer["from"])
    )];
    let fresh = strings(&answer["fresh"]);
    if !fresh.is_empty() {
        lines.push(format!("without the old one's state: {}", fresh.join(", ")));
    }
    let shadow = &answer["shadow"];
    if shadow.is_object() {
        lines.push(format!(
            "in the shadow it judged {} of {} events otherwise, and failed {} times",
            text(&shadow["disagreed"]),
            text(&shadow["events"]),
            text(&shadow["failed"])
        ));
    }
    if let Some(events) = answer["canary"]["events"].as_u64() {
        lines.push(format!("as a canary it had {events} events to itself"));
    }
    lines
}

fn digest(one: &Json) -> String {
    text(&one["digest"]).chars().take(DIGEST_SHOWN).collect()
}

/// Seconds of the VM's time.
fn since(one: &Json) -> String {
    let seconds = one["since_ns"].as_f64().unwrap_or(0.0) / 1e9;
    format!("{seconds:.1} s")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_with_its_columns_in_line() {
        let answer = json!({"policies": [
            {"name": "guard", "revision": 12, "version": "1.0.0", "digest": "0123456789abcdef", "quarantined": false, "said": {"file": "/a.wasm"}},
            {"name": "a\u{1b}[2J", "revision": 1, "version": "", "digest": "ffff", "quarantined": true, "said": null},
        ]});
        let lines = list(&answer);
        assert_eq!(
            lines[0],
            "NAME        REV  VERSION  DIGEST        STATE        FROM"
        );
        assert_eq!(
            lines[1],
            "guard       12   1.0.0    0123456789ab  judges       /a.wasm"
        );
        assert_eq!(
            lines[2],
            "a\\u{1b}[2J  1             ffff          quarantined"
        );
        assert_eq!(list(&json!({"policies": []})), ["no policies"]);
    }

    #[test]
    fn a_swap_is_told_with_what_it_cost() {
        let answer = json!({"name": "guard", "from": 1, "to": 2, "stall_ns": 12_300, "fresh": ["vcpu 0"],
            "shadow": {"events": 10, "disagreed": 1, "failed": 0}, "canary": {"events": 40}});
        let lines = swapped(&answer);
        assert!(
            lines[0].contains("revision 2") && lines[0].contains("12.3 µs"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("vcpu 0") && lines[2].contains("1 of 10"),
            "{lines:?}"
        );
        assert!(lines[3].contains("40 events"), "{lines:?}");
    }
}
