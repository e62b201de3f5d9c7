//! What of the journal can stand in the configuration. Owns its keys.

use std::path::PathBuf;

use serde::{Deserialize, de::Error};

use crate::args::RecordFull;

/// `record = "FILE"`, or `record = { file = "FILE", full = "block" }`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "toml::Value")]
pub(crate) struct RecordConfig {
    pub(crate) file: PathBuf,
    pub(crate) full: Option<RecordFull>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    file: PathBuf,
    full: Option<RecordFull>,
}

impl TryFrom<toml::Value> for RecordConfig {
    type Error = toml::de::Error;

    fn try_from(value: toml::Value) -> Result<Self, toml::de::Error> {
        if let toml::Value::String(file) = value {
            let (file, full) = (file.into(), None);
            return Ok(Self { file, full });
        }
        if !value.is_table() {
            return Err(toml::de::Error::custom(
                "the journal is a file, or a table with `file` and `full`",
            ));
        }
        let Table { file, full } = value.try_into()?;
        Ok(Self { file, full })
    }
}
