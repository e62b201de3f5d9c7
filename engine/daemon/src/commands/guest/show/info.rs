//! What is known of a kernel: a line a part, with where it comes from.

use serde_json::Value as Json;

use crate::output::table::{table, text};

/// What is counted, and how it is called.
const COUNTED: [(&str, &str); 6] = [
    ("symbols", "symbols"),
    ("types", "types"),
    ("tasks", "processes"),
    ("modules", "modules"),
    ("syscalls", "system calls"),
    ("compat_syscalls", "32-bit calls"),
];

pub(super) fn info(answer: &Json) -> Vec<String> {
    let mut lines = vec![
        vec!["release".to_owned(), text(&answer["release"])],
        part("banner", &answer["banner"], text),
        part("kernel", &answer["kernel"], range),
        part("slide", &answer["slide"], text),
        part("page tables", &answer["tables"], text),
        part("code", &answer["areas"]["text"], range),
        part("constants", &answer["areas"]["rodata"], range),
    ];
    lines.extend(COUNTED.map(|(key, name)| part(name, &answer[key], count)));
    let vcpus = answer["vcpus"].as_array().into_iter().flatten();
    lines.extend(vcpus.flat_map(vcpu));
    table(&["WHAT", "VALUE", "BY"], lines)
}

/// What it is, its value, and where that comes from.
fn part(name: &str, part: &Json, value: impl Fn(&Json) -> String) -> Vec<String> {
    let shown = if part["unknown"].is_null() {
        value(part.get("value").unwrap_or(part))
    } else {
        format!("unknown: {}", text(&part["why"]))
    };
    vec![name.to_owned(), shown, text(&part["source"])]
}

fn range(range: &Json) -> String {
    format!("{} to {}", text(&range["start"]), text(&range["end"]))
}

fn count(part: &Json) -> String {
    let count = text(&part["count"]);
    match part["ending"].as_str() {
        Some("whole") | None => count,
        Some(_) => format!("{count}, and the list is {}", text(&part["ending"])),
    }
}

/// What it runs, and its interrupt table.
fn vcpu(vcpu: &Json) -> [Vec<String>; 2] {
    let number = text(&vcpu["vcpu"]);
    let runs = |task: &Json| format!("{} {}", text(&task["pid"]), text(&task["name"]));
    [
        part(&format!("vCPU {number} runs"), &vcpu["current"], runs),
        part(&format!("vCPU {number} gates"), &vcpu["interrupts"], count),
    ]
}
