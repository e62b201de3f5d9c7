//! A policy's configuration: what its manifest declares, what the operator gives, and the check
//! of the one against the other.

mod error;
mod setting;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use setting::{Setting, SettingKind};

use crate::manifest::ManifestError;

/// Something that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Parameter {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// What it is where the operator says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Setting>,
    /// Whether the operator must say something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl Parameter {
    /// Whether it makes sense.
    pub(crate) fn check(&self, key: &str) -> Result<(), ManifestError> {
        if let Some(default) = &self.default {
            self.fit(key, default)?;
        }
        if self.required && self.default.is_some() {
            return Err(ManifestError::RequiredDefault(key.to_owned()));
        }
        Ok(())
    }

    fn fit(&self, key: &str, given: &Setting) -> Result<Setting, ConfigError> {
        given.as_kind(self.kind).ok_or_else(|| ConfigError::Type {
            key: key.to_owned(),
            expected: self.kind,
            found: given.describe(),
        })
    }

    /// What the policy is given; none if it is optional and left out.
    fn value(&self, key: &str, given: Option<&Setting>) -> Result<Option<Setting>, ConfigError> {
        if given.is_none() && self.required {
            return Err(ConfigError::Missing {
                key: key.to_owned(),
                expected: self.kind,
                doc: self.doc.clone(),
            });
        }
        let value = given.or(self.default.as_ref());
        value.map(|value| self.fit(key, value)).transpose()
    }
}

/// The operator's words, checked against what is declared, with defaults filled in.
///
/// # Errors
/// [`ConfigError`] names the key that is not declared, has another type, or is missing.
pub fn resolve(
    declared: &BTreeMap<String, Parameter>,
    given: &BTreeMap<String, Setting>,
) -> Result<Vec<(String, Setting)>, ConfigError> {
    if let Some(unknown) = given.keys().find(|key| !declared.contains_key(*key)) {
        return Err(ConfigError::Unknown {
            key: unknown.clone(),
            known: declared.keys().cloned().collect(),
        });
    }
    let mut settings = Vec::new();
    for (key, parameter) in declared {
        let value = parameter.value(key, given.get(key))?;
        settings.extend(value.map(|value| (key.clone(), value)));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
