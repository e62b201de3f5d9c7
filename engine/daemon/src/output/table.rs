//! Answers in JSON as tables for people. What a guest, a policy or a file has put into them moves no
//! cursor.

use serde_json::Value as Json;

use super::plain;

/// A row for each element.
pub(crate) fn rows(list: &Json, row: impl Fn(&Json) -> Vec<String>) -> Vec<Vec<String>> {
    list.as_array().into_iter().flatten().map(row).collect()
}

/// A value as one cell; nothing for null.
pub(crate) fn text(value: &Json) -> String {
    match value {
        Json::String(text) => plain(text),
        Json::Null => String::new(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

/// A value in its place among words; nothing for null.
pub(crate) fn within(value: &Json, words: impl FnOnce(String) -> String) -> String {
    if value.is_null() {
        return String::new();
    }
    words(text(value))
}

/// Each element as a cell.
pub(crate) fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

/// Columns as wide as their widest cell; the last one ends where it ends.
pub(crate) fn table(heads: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let heads = heads.iter().map(|&head| head.to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |cells: &Vec<String>| {
        let cells = cells.iter().enumerate();
        let padded = cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        let line = padded.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}
