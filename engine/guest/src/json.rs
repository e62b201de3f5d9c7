//! How words are written in JSON: as `"0x…"`, so that no reader rounds them. Owns nothing else.

use serde::{Serialize as _, Serializer};

pub(crate) fn hex<S: Serializer>(word: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{word:#x}"))
}

pub(crate) fn hex_or_null<S: Serializer>(word: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    let text = word.map(|word| format!("{word:#x}"));
    text.serialize(to)
}
