//! Types, and where a member is.

use serde_json::Value as Json;

use crate::output::table::{rows, strings, table, text, within};

pub(super) fn types(answer: &Json) -> Vec<String> {
    if answer["parts"].is_array() {
        shape(answer)
    } else {
        field(answer)
    }
}

fn shape(answer: &Json) -> Vec<String> {
    let size = within(&answer["size"], |size| format!(", {size} bytes"));
    let first = format!("{}{size}", text(&answer["name"]));
    let parts = rows(&answer["parts"], part);
    let heads: &[&str] = match parts.first().map(Vec::len) {
        None => return vec![first],
        Some(2) => &["VALUE", "NAME"],
        Some(_) => &["OFFSET", "SIZE", "BITS", "NAME", "TYPE"],
    };
    [first].into_iter().chain(table(heads, parts)).collect()
}

fn part(part: &Json) -> Vec<String> {
    let name = text(&part["name"]);
    if let Some(value) = part.get("value") {
        return vec![text(value), name];
    }
    let (offset, size) = (text(&part["offset"]), text(&part["size"]));
    vec![offset, size, bits(&part["bits"]), name, text(&part["type"])]
}

/// `3 at 5`: so many bits, from this one on.
fn bits(bits: &Json) -> String {
    if bits.is_null() {
        return String::new();
    }
    format!("{} at {}", text(&bits["width"]), text(&bits["shift"]))
}

fn field(answer: &Json) -> Vec<String> {
    let mut lines = vec![
        vec!["member".to_owned(), text(&answer["path"])],
        vec!["type".to_owned(), text(&answer["type"])],
        vec![
            "pointers at".to_owned(),
            strings(&answer["hops"]).join(", "),
        ],
        vec!["offset".to_owned(), text(&answer["offset"])],
        vec!["bytes".to_owned(), text(&answer["size"])],
        vec!["bits".to_owned(), bits(&answer["bits"])],
        vec!["by".to_owned(), text(&answer["source"])],
    ];
    lines.retain(|line| line.last().is_some_and(|value| !value.is_empty()));
    table(&["WHAT", "VALUE"], lines)
}
