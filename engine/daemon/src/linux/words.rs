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

/// A word of 64 bits in a question: hexadecimal text, as in answers.
pub(super) mod word {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::linux) fn serialize<S: Serializer>(word: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{word:#x}"))
    }

    pub(in crate::linux) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    }
}
