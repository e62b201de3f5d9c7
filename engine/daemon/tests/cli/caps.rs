//! `oriel caps`: what a machine can report, and why not where it cannot.

use serde_json::Value as Json;

use super::{kvm_is_required_or_there, oriel, status, stderr};

/// The rows of the table.
fn rows(machine: &str) -> Vec<Json> {
    let output = oriel(&["caps", "--machine", machine, "--json"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("a list in JSON")
}

/// A row's text under this key.
fn text<'a>(row: &'a Json, key: &str) -> &'a str {
    let text = row[key].as_str();
    text.unwrap_or_else(|| panic!("{key} is no text in {row}"))
}

fn assert_every_kind_is_named(rows: &[Json]) {
    let names: Vec<_> = rows.iter().map(|row| text(row, "name")).collect();
    for kind in [
        "cr",
        "msr",
        "msr-read",
        "page",
        "breakpoint",
        "singlestep",
        "pio",
        "mmio",
        "shutdown",
    ] {
        assert!(names.contains(&kind), "{kind} is not in {names:?}");
    }
}

#[test]
fn caps_name_every_kind_of_event() {
    assert_every_kind_is_named(&rows("mock"));
}

#[test]
fn caps_of_kvm_give_a_reason_for_all_that_is_no_plain_yes() {
    if !kvm_is_required_or_there() {
        return;
    }
    let rows = rows("kvm");
    assert_every_kind_is_named(&rows);
    for row in &rows {
        let support = text(row, "support");
        assert!(["yes", "partly", "no"].contains(&support), "{row}");
        assert!(!text(row, "name").is_empty(), "{row}");
        assert_eq!(text(row, "reason").is_empty(), support == "yes", "{row}");
        assert_eq!(text(row, "mechanism").is_empty(), support == "no", "{row}");
        let verdicts = row["verdicts"].as_array().expect("verdicts");
        assert!(verdicts.iter().all(Json::is_string), "{row}");
        assert!(support != "no" || verdicts.is_empty(), "{row}");
    }
    let plain = |name| {
        rows.iter()
            .any(|row| row["name"] == name && row["support"] == "yes")
    };
    for limited in ["msr", "msr-read", "page", "pio", "mmio"] {
        assert!(!plain(limited), "{limited} has limits on every host");
    }
}

#[test]
fn caps_say_in_words_what_they_say_in_json() {
    if !kvm_is_required_or_there() {
        return;
    }
    let output = oriel(&["caps", "--machine", "kvm"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let words = String::from_utf8(output.stdout).expect("UTF-8");
    let (lines, rows): (Vec<_>, _) = (words.lines().skip(1).collect(), rows("kvm"));
    assert_eq!(lines.len(), rows.len(), "a line each: {words}");
    for (line, row) in lines.iter().zip(&rows) {
        let said: Vec<_> = line.split_whitespace().take(2).collect();
        assert_eq!(said, [text(row, "name"), text(row, "support")], "{line}");
        assert!(line.contains(text(row, "mechanism")), "{line}");
        assert!(line.contains(text(row, "reason")), "{line}");
        for verdict in row["verdicts"].as_array().expect("verdicts") {
            assert!(line.contains(verdict.as_str().expect("a word")), "{line}");
        }
    }
}
