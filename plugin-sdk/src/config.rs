//! A policy's configuration: named settings, each asked for once by its type.
//!
//! The engine has checked it against the manifest already; here each setting becomes a Rust
//! value, and what nobody asked for is refused. Reads no files and knows no defaults.

mod error;
mod value;

use std::collections::BTreeMap;

/// One configured value.
///
/// ```
/// use oriel_sdk::{FromSetting, Setting};
///
/// assert_eq!(u16::from_setting(Setting::Number(80)), Some(80));
/// assert_eq!(u16::from_setting(Setting::Number(1 << 16)), None);
/// assert_eq!(u16::from_setting(Setting::from("80")), None, "that is a text");
/// ```
pub use crate::bindings::rights::oriel::introspection::types::Setting;
pub use error::ConfigError;
pub use value::FromSetting;

/// The configuration of an instance, while [`Policy::init`](crate::Policy::init) reads it.
///
/// ```
/// use oriel_sdk::Config;
///
/// let mut config = Config::new().with("limit", 7_u64).with("mode", "strict");
/// assert_eq!(config.get::<u32>("limit")?, Some(7));
/// assert_eq!(config.get_or("quiet", false)?, false);
/// let strict = config.choice("mode", &[("strict", true), ("lax", false)])?;
/// assert_eq!(strict, Some(true));
/// config.finish()?;
/// assert!(config.require::<u64>("ports").is_err());
/// # Ok::<(), oriel_sdk::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    settings: BTreeMap<String, Setting>,
    /// Which keys were asked for, in that order.
    known: Vec<String>,
}

impl Config {
    /// An empty one, for tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this setting too.
    pub fn with(mut self, key: &str, setting: impl Into<Setting>) -> Self {
        self.settings.insert(key.to_owned(), setting.into());
        self
    }

    /// The setting, if there is one.
    ///
    /// # Errors
    /// It is of another type, or out of that type's range.
    pub fn get<T: FromSetting>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(setting) = self.take(key) else {
            return Ok(None);
        };
        match T::from_setting(setting.clone()) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::Type {
                key: key.to_owned(),
                expected: T::EXPECTED,
                found: value::describe(&setting),
            }),
        }
    }

    /// The setting, or this value where there is none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_or<T: FromSetting>(&mut self, key: &str, default: T) -> Result<T, ConfigError> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// The setting, which must be there.
    ///
    /// # Errors
    /// As [`get`](Self::get), and there is none.
    pub fn require<T: FromSetting>(&mut self, key: &str) -> Result<T, ConfigError> {
        self.get(key)?.ok_or_else(|| ConfigError::Missing {
            key: key.to_owned(),
            expected: T::EXPECTED,
        })
    }

    /// What one of these words stands for, if the setting is there.
    ///
    /// # Errors
    /// It is another word, or no text.
    pub fn choice<T: Clone>(
        &mut self,
        key: &str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, ConfigError> {
        let Some(word) = self.get::<String>(key)? else {
            return Ok(None);
        };
        match choices.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => Err(ConfigError::Choice {
                key: key.to_owned(),
                choices: choices.iter().map(|(name, _)| *name).collect(),
                found: word,
            }),
        }
    }

    /// Says that no further key is known. Called by the SDK when `init` has succeeded.
    ///
    /// # Errors
    /// There is a setting that was never asked for.
    pub fn finish(&self) -> Result<(), ConfigError> {
        match self.settings.keys().find(|key| !self.known.contains(key)) {
            None => Ok(()),
            Some(key) => Err(ConfigError::Unknown {
                key: key.clone(),
                known: self.known.clone(),
            }),
        }
    }

    fn take(&mut self, key: &str) -> Option<Setting> {
        self.known.push(key.to_owned());
        self.settings.get(key).cloned()
    }
}

impl From<Vec<(String, Setting)>> for Config {
    fn from(settings: Vec<(String, Setting)>) -> Self {
        Self {
            settings: settings.into_iter().collect(),
            known: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of `config` by one who knows only `lock`, a flag.
    fn complaint(config: &mut Config) -> String {
        let read = config.get::<bool>("lock");
        read.and_then(|_| config.finish()).unwrap_err().to_string()
    }

    #[test]
    fn a_setting_of_another_type_is_named_with_both_types() {
        let mut config = Config::new().with("lock", "yes");
        let said = complaint(&mut config);
        assert_eq!(said, "`lock` must be a flag, but is the text \"yes\"");
    }

    #[test]
    fn a_number_beyond_its_type_is_named_with_the_limit() {
        let mut config = Config::new().with("msr", 1_u64 << 40);
        let error = config.get::<u32>("msr").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`msr` must be a number up to 4294967295, but is the number 1099511627776"
        );
    }

    #[test]
    fn a_key_that_nobody_asked_for_is_refused_and_the_known_ones_are_named() {
        let mut config = Config::new().with("lokc", true);
        let said = complaint(&mut config);
        assert_eq!(said, "there is no setting `lokc`; there is: lock");
    }

    #[test]
    fn a_required_setting_is_missed_by_name_and_type() {
        let error = Config::new().require::<Vec<u64>>("ports").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`ports` is missing: it must be a list of numbers"
        );
    }

    #[test]
    fn a_word_that_is_no_choice_is_answered_with_the_choices() {
        let mut config = Config::new().with("mode", "lax");
        let error = config.choice("mode", &[("deny", 1), ("keep", 2)]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "`mode` must be one of deny, keep, but is \"lax\""
        );
    }
}
