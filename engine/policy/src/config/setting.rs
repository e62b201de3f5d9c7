//! One configured value, as it is written in TOML or JSON and as a policy gets it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bindings::oriel::introspection::types::Setting as WitSetting;

/// One configured value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, from = "Written")]
pub enum Setting {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A text; where a number is declared, one like `0xc0000082`.
    Text(String),
    /// Numbers.
    Numbers(Vec<u64>),
    /// Texts; where numbers are declared, like [`Setting::Text`].
    Texts(Vec<String>),
}

/// The type of a configured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingKind {
    /// [`Setting::Flag`]
    Flag,
    /// [`Setting::Number`]
    Number,
    /// [`Setting::Text`]
    Text,
    /// [`Setting::Numbers`]
    Numbers,
    /// [`Setting::Texts`]
    Texts,
}

impl Setting {
    /// This value as a value of that type; none if it is not one.
    pub(super) fn as_kind(&self, kind: SettingKind) -> Option<Self> {
        Some(match (kind, self) {
            (SettingKind::Number, Self::Text(text)) => Self::Number(number(text)?),
            (SettingKind::Numbers, Self::Texts(texts)) => {
                let numbers: Option<_> = texts.iter().map(|text| number(text)).collect();
                Self::Numbers(numbers?)
            }
            // A list of nothing is a list of any type.
            (SettingKind::Texts, Self::Numbers(numbers)) if numbers.is_empty() => {
                Self::Texts(Vec::new())
            }
            _ if self.kind() == kind => self.clone(),
            _ => return None,
        })
    }

    const fn kind(&self) -> SettingKind {
        match self {
            Self::Flag(_) => SettingKind::Flag,
            Self::Number(_) => SettingKind::Number,
            Self::Text(_) => SettingKind::Text,
            Self::Numbers(_) => SettingKind::Numbers,
            Self::Texts(_) => SettingKind::Texts,
        }
    }

    /// The value for an error's text: its type, and itself where it is short.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Text(text) if text.len() <= 40 => format!("the text \"{text}\""),
            Self::Flag(flag) => format!("the flag {flag}"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(_) | Self::Numbers(_) | Self::Texts(_) => self.kind().to_string(),
        }
    }
}

/// A number as people write it in a text.
fn number(text: &str) -> Option<u64> {
    let plain = text.replace('_', "");
    match plain
        .strip_prefix("0x")
        .or_else(|| plain.strip_prefix("0X"))
    {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => plain.parse().ok(),
    }
}

impl fmt::Display for SettingKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Flag => "a flag (true or false)",
            Self::Number => "a number (or a text like \"0x10\")",
            Self::Text => "a text",
            Self::Numbers => "a list of numbers (or of texts like \"0x10\")",
            Self::Texts => "a list of texts",
        })
    }
}

impl From<&Setting> for WitSetting {
    fn from(setting: &Setting) -> Self {
        match setting.clone() {
            Setting::Flag(flag) => Self::Flag(flag),
            Setting::Number(number) => Self::Number(number),
            Setting::Text(text) => Self::Text(text),
            Setting::Numbers(numbers) => Self::Numbers(numbers),
            Setting::Texts(texts) => Self::Texts(texts),
        }
    }
}

/// A value as a file has it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a flag, a number from 0 on, a text, or a list of numbers or texts"
)]
enum Written {
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Element>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 on, or a text")]
enum Element {
    Number(u64),
    Text(String),
}

impl From<Written> for Setting {
    fn from(written: Written) -> Self {
        match written {
            Written::Flag(flag) => Self::Flag(flag),
            Written::Number(number) => Self::Number(number),
            Written::Text(text) => Self::Text(text),
            Written::List(list) => list.into(),
        }
    }
}

/// A list in which one number is a text is a list of texts: what it is declared to be decides.
impl From<Vec<Element>> for Setting {
    fn from(list: Vec<Element>) -> Self {
        let number = |element: &Element| match element {
            Element::Number(number) => Some(*number),
            Element::Text(_) => None,
        };
        if let Some(numbers) = list.iter().map(number).collect() {
            return Self::Numbers(numbers);
        }
        let text = |element| match element {
            Element::Number(number) => number.to_string(),
            Element::Text(text) => text,
        };
        Self::Texts(list.into_iter().map(text).collect())
    }
}
