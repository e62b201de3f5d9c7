//! What of a grant can stand in the configuration. Owns its keys; their meaning is in `grants`.

use serde::{Deserialize, Serialize, de::Error};

/// What a policy may see and do.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(try_from = "toml::Value", into = "Said")]
pub(crate) enum GrantConfig {
    /// `"all"`, or rights and kinds of event.
    Words(WordsConfig),
    /// `[policy.grant]`
    Table(GrantTable),
}

/// Words.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum WordsConfig {
    /// `"all"`, or words with commas.
    Word(String),
    /// Words.
    List(Vec<String>),
}

/// `[policy.grant]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GrantTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rights: Option<WordsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) events: Option<WordsConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msrs: Option<Vec<RangeConfig>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_physical: Option<Vec<RangeConfig>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_physical: Option<Vec<RangeConfig>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_virtual: Option<Vec<RangeConfig>>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum RangeConfig {
    Number(u64),
    Word(String),
}

/// A grant as it is written down: by its form, as it is read.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Said {
    Words(WordsConfig),
    Table(GrantTable),
}

impl From<GrantConfig> for Said {
    fn from(grant: GrantConfig) -> Self {
        match grant {
            GrantConfig::Words(words) => Self::Words(words),
            GrantConfig::Table(table) => Self::Table(table),
        }
    }
}

impl GrantConfig {
    /// As it is typed: `all`, or words with commas.
    pub(crate) fn typed(list: &str) -> Self {
        Self::Words(WordsConfig::Word(list.to_owned()))
    }
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
