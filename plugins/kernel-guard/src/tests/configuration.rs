//! What an operator may choose, and what the manifest says of it.

use serde_json::Value;

use super::*;
use crate::settings::Settings;

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (config, said) in [
        (
            Config::new().with("bytes-per-tick", 1),
            "from 65536 to 16777216",
        ),
        (Config::new().with("trap", "maybe"), "auto, on, off"),
        (Config::new().with("on-write", "crash"), "alert, deny"),
        (Config::new().with("hidden-ticks", 0), "from 1"),
        (
            Config::new().with("tarp", "on"),
            "there is no setting `tarp`",
        ),
    ] {
        let refused = Bench::<KernelGuard>::new(config).err();
        let words = refused.map(String::from).unwrap_or_default();
        assert!(words.contains(said), "{words}");
    }
}

#[test]
fn the_manifest_has_the_settings_of_the_policy_and_their_defaults() -> Result<(), Failure> {
    let manifest: Value = serde_json::from_str(include_str!("../../oriel.json"))?;
    let schema = manifest["config"].as_object().ok_or("no `config`")?;
    let mut config = Config::new();
    for (key, setting) in schema {
        config = match &setting["default"] {
            Value::Bool(flag) => config.with(key, *flag),
            Value::Number(number) => config.with(key, number.as_u64().ok_or("no number")?),
            Value::String(text) => config.with(key, text.as_str()),
            other @ (Value::Null | Value::Array(_) | Value::Object(_)) => {
                return Err(format!("{key}: {other}").into());
            }
        };
    }
    assert_eq!(
        Settings::read(&mut config)?,
        Settings::read(&mut Config::new())?
    );
    config.finish()?;
    assert_eq!(schema.len(), 7);
    Ok(())
}
