//! Symbols, tasks and modules.

use serde_json::Value as Json;

use crate::output::table::{rows, strings, table, text, within};

const TASK_HEADS: [&str; 7] = ["PID", "PROCESS", "PARENT", "UID", "STATE", "VCPU", "NAME"];

/// As nm and `/proc/kallsyms` have them.
pub(super) fn symbols(answer: &Json) -> Vec<String> {
    let module = within(&answer["module"], |name| format!("\t[{name}]"));
    let symbols = answer["symbols"].as_array().into_iter().flatten();
    let line = |symbol: &Json| {
        let (kind, name) = (text(&symbol["kind"]), text(&symbol["name"]));
        format!("{} {kind} {name}{module}", digits(&symbol["address"]))
    };
    symbols.map(line).collect()
}

/// `name+0x1b`, and the module.
pub(super) fn at(answer: &Json) -> Vec<String> {
    let name = text(&answer["symbol"]["name"]);
    let offset = match text(&answer["offset"]) {
        offset if offset == "0x0" => String::new(),
        offset => format!("+{offset}"),
    };
    let module = within(&answer["module"], |name| format!(" [{name}]"));
    vec![format!("{name}{offset}{module}")]
}

/// An address without `0x`, as long as any.
fn digits(address: &Json) -> String {
    let text = text(address);
    format!("{:0>16}", text.strip_prefix("0x").unwrap_or(&text))
}

pub(super) fn tasks(answer: &Json) -> Vec<String> {
    let mut lines = table(&TASK_HEADS, rows(&answer["tasks"], task));
    lines.extend(ending(&answer["ending"]));
    lines
}

fn task(task: &Json) -> Vec<String> {
    let name = text(&task["name"]);
    vec![
        text(&task["pid"]),
        text(&task["tgid"]),
        or_unknown(&task["parent"]),
        or_unknown(&task["credentials"]["uid"]),
        or_unknown(&task["state"]),
        strings(&task["vcpus"]).join(","),
        // As ps shows the kernel's own.
        match task["kernel"].as_bool() {
            Some(true) => format!("[{name}]"),
            Some(false) | None => name,
        },
    ]
}

fn or_unknown(value: &Json) -> String {
    if value.is_null() {
        return "?".to_owned();
    }
    text(value)
}

/// What to know about a list that was not gone through to its end.
fn ending(ending: &Json) -> Option<String> {
    let how = ending.as_str().filter(|how| *how != "whole")?;
    Some(format!(
        "the list is {how}: damaged, or changed while it was read; there may be more"
    ))
}

pub(super) fn hidden(answer: &Json) -> Vec<String> {
    let hidden = rows(&answer["hidden"], task);
    let mut lines = if hidden.is_empty() {
        let compared = text(&answer["compared"]);
        vec![format!("nobody is hidden among {compared} tasks")]
    } else {
        table(&TASK_HEADS, hidden)
    };
    lines.extend(ending(&answer["list"]));
    if answer["tree"].is_null() {
        let unknown = "the tree of pids is unknown: only what the vCPUs run was compared";
        lines.push(unknown.to_owned());
    }
    lines.extend(ending(&answer["tree"]));
    lines
}

pub(super) fn modules(answer: &Json) -> Vec<String> {
    let modules = rows(&answer["modules"], |module| {
        let keys = ["name", "size", "state", "base"];
        keys.map(|key| text(&module[key])).to_vec()
    });
    let mut lines = if modules.is_empty() {
        vec!["no modules".to_owned()]
    } else {
        table(&["NAME", "SIZE", "STATE", "BASE"], modules)
    };
    lines.extend(ending(&answer["ending"]));
    lines
}
