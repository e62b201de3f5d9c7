//! How parts of answers are written: words of 64 bits as `"0x…"`, and what is not known with its
//! reason. Owns no facts.

use oriel_guest::{Found, Unknown};
use serde::Serialize;
use serde_json::{Value as Json, json};

/// A word of 64 bits.
pub(super) fn hex(word: u64) -> Json {
    format!("{word:#x}").into()
}

/// What is not known: its kind, what it is about, and why in words.
pub(super) fn unknown(unknown: &Unknown) -> Json {
    let mut written = json!(unknown);
    written["why"] = unknown.to_string().into();
    written
}

/// A value and where it comes from, or why there is none.
pub(super) fn found<T: Serialize>(answer: Result<Found<T>, Unknown>) -> Json {
    answer.map_or_else(|why| unknown(&why), |found| json!(found))
}

/// How many of something there are, and where that comes from.
pub(super) fn count(answer: Result<(usize, Json), Unknown>) -> Json {
    match answer {
        Ok((count, mut source)) => {
            source["count"] = count.into();
            source
        }
        Err(why) => unknown(&why),
    }
}
