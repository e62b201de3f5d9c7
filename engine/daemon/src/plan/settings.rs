//! A policy's configuration, from TOML to what its manifest is asked about. Never decides what a
//! policy may be told.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use oriel_policy::Setting;

pub(crate) fn settings(
    table: &BTreeMap<String, toml::Value>,
) -> anyhow::Result<BTreeMap<String, Setting>> {
    let one = |(key, value): (&String, &toml::Value)| {
        let setting = setting(value).with_context(|| format!("key {key:?}"))?;
        Ok((key.clone(), setting))
    };
    table.iter().map(one).collect()
}

/// A TOML value as a setting. Which type the policy wants is its manifest's to say.
fn setting(value: &toml::Value) -> anyhow::Result<Setting> {
    Ok(match value {
        toml::Value::Boolean(flag) => Setting::Flag(*flag),
        toml::Value::Integer(number) => {
            Setting::Number(u64::try_from(*number).context("a number below 0")?)
        }
        toml::Value::String(text) => Setting::Text(text.clone()),
        toml::Value::Array(list) if list.iter().all(toml::Value::is_str) => Setting::Texts(
            list.iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect(),
        ),
        toml::Value::Array(list) => {
            let number = |item: &toml::Value| {
                let number = item
                    .as_integer()
                    .context("a list holds numbers only, or texts only")?;
                u64::try_from(number).context("a number below 0")
            };
            Setting::Numbers(list.iter().map(number).collect::<anyhow::Result<_>>()?)
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => {
            bail!(
                "a flag, a number, a text, or a list of numbers or texts was expected, not {}",
                value.type_str()
            )
        }
    })
}
