//! `[[memory]]` and `[[map]]`: what is in RAM, and where addresses lead.

use oriel_protocol::{Gpa, Gva, page::PAGE_SIZE};
use serde::Deserialize;

use super::{
    Map,
    value::{Word, number, optional},
};

/// Bytes in RAM, in one of three notations.
#[derive(Deserialize)]
#[serde(try_from = "MemoryKeys")]
pub(super) struct MemoryText(pub(super) (Gpa, Vec<u8>));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryKeys {
    #[serde(deserialize_with = "number")]
    gpa: Gpa,
    hex: Option<String>,
    words: Option<Vec<Word>>,
    text: Option<String>,
}

impl TryFrom<MemoryKeys> for MemoryText {
    type Error = String;

    fn try_from(keys: MemoryKeys) -> Result<Self, String> {
        let bytes = match (keys.hex, keys.words, keys.text) {
            (Some(digits), None, None) => hex(&digits)?,
            (None, Some(words), None) => {
                words.iter().flat_map(|word| word.0.to_le_bytes()).collect()
            }
            (None, None, Some(text)) => text.into_bytes(),
            (..) => return Err("one of `hex`, `words` and `text` is needed".to_owned()),
        };
        Ok(Self((keys.gpa, bytes)))
    }
}

/// Pairs of hexadecimal digits; white space between them does not count.
fn hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes.ok_or_else(|| format!("`{text}` is not pairs of hexadecimal digits (`hex`)"))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A range of the page tables.
#[derive(Deserialize)]
#[serde(try_from = "MapKeys")]
pub(super) struct MapText(pub(super) Map);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MapKeys {
    #[serde(deserialize_with = "number")]
    gva: Gva,
    #[serde(deserialize_with = "number")]
    gpa: Gpa,
    #[serde(default = "page", deserialize_with = "number")]
    size: u64,
    #[serde(default = "all")]
    rights: String,
    #[serde(default)]
    user: bool,
    #[serde(default, deserialize_with = "optional")]
    cr3: Option<u64>,
}

const fn page() -> u64 {
    PAGE_SIZE
}

fn all() -> String {
    "rwx".to_owned()
}

impl TryFrom<MapKeys> for MapText {
    type Error = String;

    fn try_from(keys: MapKeys) -> Result<Self, String> {
        let (present, writable, executable) = match keys.rights.as_str() {
            "" => (false, false, false),
            "r" => (true, false, false),
            "rw" => (true, true, false),
            "rx" => (true, false, true),
            "rwx" => (true, true, true),
            other => {
                return Err(format!(
                    "`rights` is ``, `r`, `rw`, `rx` or `rwx`, not `{other}`"
                ));
            }
        };
        Ok(Self(Map {
            gva: keys.gva,
            gpa: keys.gpa,
            size: keys.size,
            present,
            writable,
            executable,
            user: keys.user,
            cr3: keys.cr3,
        }))
    }
}
