//! What is wrong with a configuration.

use thiserror::Error;

use super::SettingKind;

/// What is wrong with a policy's configuration.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Nothing of that name is declared.
    #[error("`config.{key}` is not declared by the policy; {}", known_keys(.known))]
    Unknown {
        /// What was given.
        key: String,
        /// What is declared.
        known: Vec<String>,
    },
    /// It is of another type.
    #[error("`config.{key}` must be {expected}, and is {found}")]
    Type {
        /// Which.
        key: String,
        /// What is declared.
        expected: SettingKind,
        /// What was given.
        found: String,
    },
    /// It must be given.
    #[error("`config.{key}` is missing: {expected}{}", explained(.doc))]
    Missing {
        /// Which.
        key: String,
        /// What is declared.
        expected: SettingKind,
        /// What it does.
        doc: String,
    },
}

fn known_keys(known: &[String]) -> String {
    if known.is_empty() {
        return "it declares no configuration".into();
    }
    format!("it declares {}", known.join(", "))
}

fn explained(doc: &str) -> String {
    if doc.is_empty() {
        return String::new();
    }
    format!(" ({doc})")
}
