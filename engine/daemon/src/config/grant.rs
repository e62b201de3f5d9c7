//! What of a grant can stand in the configuration. Owns its keys; their meaning is in `grants`.

use serde::Deserialize;
use serde::de::Error;

/// What a policy may see and do.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "toml::Value")]
pub(crate) enum GrantConfig {
    /// `"all"`, or rights and kinds of event.
    Words(WordsConfig),
    /// `[policy.grant]`
    Table(GrantTable),
}

/// Words.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum WordsConfig {
    /// `"all"`, or words with commas.
    Word(String),
    /// Words.
    List(Vec<String>),
}

/// `[policy.grant]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GrantTable {
    pub(crate) rights: Option<WordsConfig>,
    pub(crate) events: Option<WordsConfig>,
    msrs: Option<Vec<RangeConfig>>,
    read_physical: Option<Vec<RangeConfig>>,
    write_physical: Option<Vec<RangeConfig>>,
    read_virtual: Option<Vec<RangeConfig>>,
    write_virtual: Option<Vec<RangeConfig>>,
}

/// `[tool.bounds]`, and what of `[policy.grant]` narrows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct BoundsConfig {
    pub(crate) msrs: Option<Vec<RangeConfig>>,
    pub(crate) read_physical: Option<Vec<RangeConfig>>,
    pub(crate) write_physical: Option<Vec<RangeConfig>>,
    pub(crate) read_virtual: Option<Vec<RangeConfig>>,
    pub(crate) write_virtual: Option<Vec<RangeConfig>>,
}

/// A number, or a range as a text.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum RangeConfig {
    Number(u64),
    Word(String),
}

impl GrantTable {
    /// What narrows it.
    pub(crate) fn bounds(&self) -> BoundsConfig {
        BoundsConfig {
            msrs: self.msrs.clone(),
            read_physical: self.read_physical.clone(),
            write_physical: self.write_physical.clone(),
            read_virtual: self.read_virtual.clone(),
            write_virtual: self.write_virtual.clone(),
        }
    }
}

/// By its form, so that a mistake in a table is told by its key.
impl TryFrom<toml::Value> for GrantConfig {
    type Error = toml::de::Error;

    fn try_from(value: toml::Value) -> Result<Self, toml::de::Error> {
        match value {
            toml::Value::Table(_) => value.try_into().map(Self::Table),
            toml::Value::String(_) | toml::Value::Array(_) => value.try_into().map(Self::Words),
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => Err(toml::de::Error::custom(
                "a grant is \"all\", a list of rights and kinds of event, or a table",
            )),
        }
    }
}
