//! What an operator may choose, and what the manifest says of it.

use serde_json::Value;

use super::*;
use crate::settings::Settings;

fn refused(config: Config) -> String {
    bench(config).err().map(String::from).unwrap_or_default()
}

#[test]
fn only_the_chosen_msrs_are_guarded() -> Result<(), Failure> {
    let config = Config::new().with("msrs", vec![0x10]).with("efer", false);
    let mut bench = bench(config)?;
    assert_eq!(enter_at(&mut bench, 0, 0, KERNEL), None);
    let pinned = bench.raise(0, Write::new(0x10, 0, 1));
    assert_eq!(pinned, Some(Verdict::Continue));
    let changed = bench.raise(0, Write::new(0x10, 1, 2));
    assert_eq!(changed, Some(Verdict::Deny));
    Ok(())
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (config, said) in [
        (
            Config::new().with("on-violation", "shout"),
            "`on-violation` must be one of deny, keep, crash, alert-only, but is \"shout\"",
        ),
        (
            Config::new().with("msrs", vec![0xC000_0080]),
            "`msrs` names EFER, which cannot be pinned: it has a rule of its own, `efer`",
        ),
        (
            Config::new()
                .with("msrs", Vec::<u64>::new())
                .with("efer", false),
            "`msrs` is empty and `efer` is off: nothing is left to guard",
        ),
        (
            Config::new()
                .with("msrs", vec![0x174])
                .with("lock-on-entry", true),
            "`lock-on-entry` waits for LSTAR (0xc0000082), which `msrs` does not name",
        ),
        (
            Config::new().with("lokc", true),
            "there is no setting `lokc`; there is: msrs, per-vcpu, efer, lock, lock-on-entry, \
             on-violation",
        ),
    ] {
        assert_eq!(refused(config), said);
    }
}

#[test]
fn the_manifest_has_the_settings_of_the_policy_and_their_defaults() -> Result<(), Failure> {
    let manifest: Value = serde_json::from_str(include_str!("../../oriel.json"))?;
    let schema = manifest["config"].as_object().ok_or("no `config`")?;
    let mut config = Config::new();
    for (key, setting) in schema {
        config = with_default(config, key, &setting["default"]);
    }
    let settings = Settings::read(&mut config)?;
    assert_eq!(settings, Settings::read(&mut Config::new())?);
    config.finish()?;
    assert_eq!(schema.len(), 6);
    Ok(())
}

fn with_default(config: Config, key: &str, default: &Value) -> Config {
    if let Some(flag) = default.as_bool() {
        return config.with(key, flag);
    }
    if let Some(text) = default.as_str() {
        return config.with(key, text);
    }
    let numbers = default.as_array().into_iter().flatten();
    let numbers: Vec<u64> = numbers.filter_map(Value::as_u64).collect();
    config.with(key, numbers)
}
