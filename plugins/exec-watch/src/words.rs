//! A guest's bytes as words for the operator: nothing that a guest chooses can look like more than
//! one value, or move a terminal's cursor.

/// What is shown of a text that is too long ends with it.
const CUT: char = '…';

/// At most so many characters. What cannot be printed, a quote and a backslash are written as Rust
/// writes them; what is no UTF-8 is U+FFFD.
pub(crate) fn shown(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    let mut left = most;
    for one in text.chars() {
        let escaped = escape(one);
        let length = escaped.chars().count();
        if length >= left {
            shown.push(CUT);
            break;
        }
        left -= length;
        shown.push_str(&escaped);
    }
    shown
}

/// The same of what may be unknown.
pub(crate) fn shown_if(bytes: Option<&[u8]>, most: usize) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| shown(bytes, most))
}

fn escape(one: char) -> String {
    match one {
        '\'' => one.to_string(),
        other => other.escape_debug().collect(),
    }
}
