//! What is wrong with a configuration, in words that name the key. Decides nothing.

use std::fmt;

/// What is wrong with a setting.
///
/// ```
/// use oriel_sdk::{Config, ConfigError};
///
/// let mut config = Config::new().with("limit", "seven");
/// let wrong = config.get::<u64>("limit");
/// assert!(matches!(wrong, Err(ConfigError::Type { key, .. }) if key == "limit"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A setting that must be there is not.
    Missing {
        /// Its key.
        key: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A setting is of another type, or out of its type's range.
    Type {
        /// Its key.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A text is none of the possible ones.
    Choice {
        /// Its key.
        key: String,
        /// What it may be.
        choices: Vec<&'static str>,
        /// What it is.
        found: String,
    },
    /// There is no such setting.
    Unknown {
        /// The key.
        key: String,
        /// The keys that there are.
        known: Vec<String>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, expected } => {
                write!(f, "`{key}` is missing: it must be {expected}")
            }
            Self::Type {
                key,
                expected,
                found,
            } => write!(f, "`{key}` must be {expected}, but is {found}"),
            Self::Choice {
                key,
                choices,
                found,
            } => {
                let choices = choices.join(", ");
                write!(f, "`{key}` must be one of {choices}, but is {found:?}")
            }
            Self::Unknown { key, known } if known.is_empty() => {
                write!(f, "there is no setting `{key}`; there are none at all")
            }
            Self::Unknown { key, known } => {
                let known = known.join(", ");
                write!(f, "there is no setting `{key}`; there is: {known}")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
