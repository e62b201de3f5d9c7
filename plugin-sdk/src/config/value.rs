//! Settings as Rust values, and Rust values as settings. Knows no keys.

use super::Setting;

/// A type that a setting can be read as.
///
/// ```
/// use oriel_sdk::{FromSetting, Setting};
///
/// #[derive(Debug, PartialEq)]
/// struct Percent(u64);
///
/// impl FromSetting for Percent {
///     const EXPECTED: &'static str = "a number up to 100";
///
///     fn from_setting(setting: Setting) -> Option<Self> {
///         u64::from_setting(setting).filter(|value| *value <= 100).map(Percent)
///     }
/// }
///
/// assert_eq!(Percent::from_setting(Setting::Number(7)), Some(Percent(7)));
/// ```
pub trait FromSetting: Sized {
    /// What the setting must be, as the end of “it must be …”.
    const EXPECTED: &'static str;

    /// The value, if the setting has the right type and is within its range.
    fn from_setting(setting: Setting) -> Option<Self>;
}

impl FromSetting for bool {
    const EXPECTED: &'static str = "a flag";

    fn from_setting(setting: Setting) -> Option<Self> {
        match setting {
            Setting::Flag(flag) => Some(flag),
            Setting::Number(_) | Setting::Text(_) | Setting::Numbers(_) | Setting::Texts(_) => None,
        }
    }
}

impl FromSetting for u64 {
    const EXPECTED: &'static str = "a number";

    fn from_setting(setting: Setting) -> Option<Self> {
        match setting {
            Setting::Number(number) => Some(number),
            Setting::Flag(_) | Setting::Text(_) | Setting::Numbers(_) | Setting::Texts(_) => None,
        }
    }
}

impl FromSetting for u32 {
    const EXPECTED: &'static str = "a number up to 4294967295";

    fn from_setting(setting: Setting) -> Option<Self> {
        u64::from_setting(setting)?.try_into().ok()
    }
}

impl FromSetting for u16 {
    const EXPECTED: &'static str = "a number up to 65535";

    fn from_setting(setting: Setting) -> Option<Self> {
        u64::from_setting(setting)?.try_into().ok()
    }
}

impl FromSetting for u8 {
    const EXPECTED: &'static str = "a number up to 255";

    fn from_setting(setting: Setting) -> Option<Self> {
        u64::from_setting(setting)?.try_into().ok()
    }
}

impl FromSetting for String {
    const EXPECTED: &'static str = "a text";

    fn from_setting(setting: Setting) -> Option<Self> {
        match setting {
            Setting::Text(text) => Some(text),
            Setting::Flag(_) | Setting::Number(_) | Setting::Numbers(_) | Setting::Texts(_) => None,
        }
    }
}

impl FromSetting for Vec<u64> {
    const EXPECTED: &'static str = "a list of numbers";

    fn from_setting(setting: Setting) -> Option<Self> {
        match setting {
            Setting::Numbers(numbers) => Some(numbers),
            Setting::Flag(_) | Setting::Number(_) | Setting::Text(_) | Setting::Texts(_) => None,
        }
    }
}

impl FromSetting for Vec<u32> {
    const EXPECTED: &'static str = "a list of numbers up to 4294967295";

    fn from_setting(setting: Setting) -> Option<Self> {
        let numbers = Vec::<u64>::from_setting(setting)?;
        numbers.into_iter().map(|it| it.try_into().ok()).collect()
    }
}

impl FromSetting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";

    fn from_setting(setting: Setting) -> Option<Self> {
        match setting {
            Setting::Texts(texts) => Some(texts),
            Setting::Flag(_) | Setting::Number(_) | Setting::Text(_) | Setting::Numbers(_) => None,
        }
    }
}

impl From<bool> for Setting {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Setting {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u64>> for Setting {
    fn from(numbers: Vec<u64>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<Vec<String>> for Setting {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

/// What a setting is, as the end of “it is …”.
pub(super) fn describe(setting: &Setting) -> String {
    match setting {
        Setting::Flag(flag) => format!("the flag {flag}"),
        Setting::Number(number) => format!("the number {number}"),
        Setting::Text(text) => format!("the text {text:?}"),
        Setting::Numbers(numbers) => format!("the numbers {numbers:?}"),
        Setting::Texts(texts) => format!("the texts {texts:?}"),
    }
}
